# SPDX-License-Identifier: Apache-2.0
"""`gpushare cordon`: keep new shares off GPUs."""

import click

from gpushare.cli._connect import client, complete_target
from gpushare.cli._each import for_each
from gpushare.cli._format.cordons import target_name
from gpushare.cli._format.output import note

reason_option = click.option(
    "--reason", metavar="TEXT", default="", help="Why; users whose shares wait see it."
)


@click.command()
@click.argument(
    "targets", metavar="GPU|node…", nargs=-1, required=True, shell_complete=complete_target
)
@reason_option
@click.pass_context
def cordon(context: click.Context, targets: tuple[str, ...], reason: str) -> None:
    """Keep new shares off GPUs, by index or UUID; `node` means every GPU of this machine.

    Shares that are there continue; `gpushare drain` has them leave. The cordon survives restarts of
    the daemon and of the machine, until `gpushare uncordon`. For operators.

    \b
    gpushare cordon 1 --reason "new fan on Friday"
    gpushare cordon node
    """
    for_each(context, targets, lambda target: _cordon(target, reason))


def _cordon(target: str, reason: str) -> str:
    client().operations.cordon(target, reason=reason)
    note(f"{target_name(target)} takes no new shares; to undo: gpushare uncordon {target}")
    return target
