# SPDX-License-Identifier: Apache-2.0
"""`gpushare clean`: list and remove leftovers."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from gpushare.cli._connect import client
from gpushare.cli._format.ages import age
from gpushare.cli._format.output import Column, Output, Table
from gpushare.cli._format.shares import NONE
from gpushare.cli._options import output_option
from gpushare.cli._strict import Number
from gpushare.model.errors import CheckFailedError, UsageError
from gpushare.model.leftover import Cleaned, CleanRequest, Kind, Leftover
from gpushare.model.share import ProcessRef
from gpushare.model.units import format_bytes


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice([*map(str, Kind)]), metavar="[KIND]...")
@click.option("-y", "--yes", is_flag=True, help="Remove leftovers of gpushare.")
@click.option("--dry-run", is_flag=True, help="List only; the default without --yes.")
@click.option("--check", is_flag=True, help="Exit with 3 if there are leftovers.")
@click.option(
    "--process",
    "pids",
    metavar="PID",
    type=Number(1),
    multiple=True,
    help="With --yes: end this process of any user. Can be repeated.",
)
@click.option("-f", "--force", is_flag=True, help="End processes with SIGKILL instead of SIGTERM.")
@output_option
def clean(
    kinds: tuple[str, ...],
    pids: tuple[int, ...],
    output: Output,
    *,
    yes: bool,
    dry_run: bool,
    check: bool,
    force: bool,
) -> None:
    """List leftovers on the machine, or remove them with --yes. For operators.

    KIND is context (GPU memory of an ended process), process (GPU memory outside all shares), mps,
    region, board (GPU pages), pool or group. --yes removes what gpushare created for ended shares.
    Processes of other users are only listed; --process ends one if it is still the listed process.

    \b
    gpushare clean
    gpushare clean --yes region group
    gpushare clean --yes --process 4711
    gpushare clean --check context process || mail -s leftovers root
    """
    if (yes and (dry_run or check)) or (force and not pids):
        raise UsageError(
            "these options do not go together",
            "--dry-run and --check change nothing; --force needs --process",
            "gpushare clean --help",
        )
    leftovers = client().leftovers()
    chosen = [item for item in leftovers if item.kind in kinds] if kinds else leftovers
    if yes:
        chosen_kinds = tuple(Kind(kind) for kind in kinds)
        request = CleanRequest(
            kinds=chosen_kinds, processes=_named(leftovers, pids), force=force, dry_run=False
        )
        output.items(client().clean(request), _done_table())
        return
    output.items(chosen, _table())
    # The list is printed in any case.
    if check and chosen:
        count = "1 leftover" if len(chosen) == 1 else f"{len(chosen)} leftovers"
        raise CheckFailedError(f"found {count}", hint="gpushare clean --yes")
    if any(item.ours for item in chosen) and output.human:
        click.echo("gpushare: nothing was removed; --yes removes leftovers of gpushare", err=True)


def _named(leftovers: Sequence[Leftover], pids: Sequence[int]) -> tuple[ProcessRef, ...]:
    """The processes as listed now, with their start times: a pid can be used again."""
    processes = {item.process.pid: item.process for item in leftovers if item.process}
    for pid in pids:
        if pid not in processes:
            raise UsageError(
                f"process {pid} is not a leftover",
                "it has ended, or belongs to a share",
                "list leftovers: gpushare clean",
            )
    return tuple(processes[pid] for pid in pids)


def _table() -> Table[Leftover]:
    now = datetime.now(UTC)
    return Table(
        lambda item: item.name,
        Column("KIND", lambda item: item.kind),
        Column("OURS", lambda item: "yes" if item.ours else "no"),
        Column("USER", lambda item: item.user or NONE, least=6, drop=3),
        Column("COMMAND", lambda item: item.command or NONE, least=8, drop=1),
        Column(
            "MEMORY",
            lambda item: NONE if item.memory is None else format_bytes(item.memory),
        ),
        Column("AGE", lambda item: age(now - item.since) if item.since else NONE, drop=2),
        Column("GPUS", lambda item: ",".join(item.gpus) or NONE, wide=True),
        Column("WHAT", lambda item: item.name, least=12),
        Column("WHY", lambda item: item.why, least=12),
    )


def _done_table() -> Table[Cleaned]:
    return Table(
        lambda done: done.leftover.name,
        Column("KIND", lambda done: done.leftover.kind),
        Column("OUTCOME", lambda done: done.outcome, least=10),
        Column("WHAT", lambda done: done.leftover.name, least=16),
        Column("BECAUSE", lambda done: done.because or NONE, least=16),
    )
