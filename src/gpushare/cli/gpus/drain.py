# SPDX-License-Identifier: Apache-2.0
"""`gpushare drain`: keep new shares off GPUs, and have the shares there leave."""

import click

from gpushare.cli._connect import client, complete_target
from gpushare.cli._format.cordons import target_name
from gpushare.cli._format.output import note
from gpushare.model.errors import UsageError
from gpushare.model.units import parse_duration

from ._leaving import Leaving, Ways
from .cordon import reason_option


@click.command()
@click.argument(
    "targets", metavar="GPU|node…", nargs=-1, required=True, shell_complete=complete_target
)
@reason_option
@click.option("--migrate", is_flag=True, help="Move shares to other GPUs of the same model.")
@click.option("--suspend", is_flag=True, help="Suspend shares, after --migrate where that fails.")
@click.option("--deep", is_flag=True, help="With --suspend: use the driver's checkpoint.")
@click.option("--force", is_flag=True, help="End what is left, after --timeout if it is given.")
@click.option("--timeout", metavar="TIME", help="Wait no longer than this; exit code 124.")
@click.option("--wait/--no-wait", default=True, help="Wait until the GPUs are empty. Default: yes.")
def drain(targets: tuple[str, ...], reason: str, timeout: str | None, **options: bool) -> None:
    """Cordon GPUs and wait until no share is on them; `node` means every GPU of this machine.

    Without options nothing is ended: shares leave when their programs end. Ctrl-C and --timeout
    stop the waiting only; the GPUs stay cordoned until `gpushare uncordon`. A suspended share stays
    suspended, and cannot be resumed while its GPU is cordoned. For operators.

    \b
    gpushare drain 1                                # cordon, wait for shares to end
    gpushare drain 1 --migrate --suspend --deep     # move what can move, suspend the rest
    gpushare drain node --timeout 1h --force        # after an hour, end what is left
    """
    wait = options.pop("wait")
    ways = Ways(**options)
    if ways.deep and not ways.suspend:
        raise UsageError("--deep belongs to --suspend", hint="gpushare drain GPU --suspend --deep")
    seconds = parse_duration(timeout) if timeout else None
    for target in targets:
        client().operations.cordon(target, reason=reason, drain=True)
        note(f"{target_name(target)} takes no new shares; to undo: gpushare uncordon {target}")
    Leaving(targets, ways, seconds, report=note).run(wait=wait)
    for target in targets:
        click.echo(target)
