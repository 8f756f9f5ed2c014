# SPDX-License-Identifier: Apache-2.0
"""`gpushare clean`: what is left behind, and its removal."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Column, Output, Table
from gpushare.cli._format.shares import NONE, age
from gpushare.cli._options import output_option
from gpushare.model.errors import CheckFailedError, UsageError
from gpushare.model.leftover import Cleaned, CleanRequest, Kind, Leftover
from gpushare.model.share import ProcessRef
from gpushare.model.units import format_bytes


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice([*map(str, Kind)]), metavar="[KIND]...")
@click.option("-y", "--yes", is_flag=True, help="Remove what gpushare has left behind.")
@click.option("--dry-run", is_flag=True, help="Only say what is there, as without --yes.")
@click.option("--check", is_flag=True, help="Exit with 3 when something is there.")
@click.option(
    "--process",
    "pids",
    metavar="PID",
    type=click.IntRange(1),
    multiple=True,
    help="With --yes: end this process, whosever it is; may be given again.",
)
@click.option("-f", "--force", is_flag=True, help="End processes by SIGKILL, not by SIGTERM.")
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
    """Say what is left behind on the machine, or with --yes remove it. For operators.

    KIND is context (GPU memory of a process that has ended), process (one that has GPU memory
    outside every share), mps, region, board, pool or group. --yes removes what gpushare has made
    for shares that are no more. What belongs to others is listed; it ends when its process is
    named, and only if it still is the process that was listed.

    \b
    gpushare clean
    gpushare clean --yes region group
    gpushare clean --yes --process 4711
    gpushare clean --check context process || mail -s leftovers root
    """
    if (yes and (dry_run or check)) or (force and not pids):
        raise UsageError(
            "these options do not go together",
            "--dry-run and --check change nothing; --force is for --process",
            "gpushare clean --help",
        )
    found = client().leftovers()
    chosen = [one for one in found if one.kind in kinds] if kinds else found
    if yes:
        wanted = tuple(Kind(kind) for kind in kinds)
        request = CleanRequest(
            kinds=wanted, processes=_named(found, pids), force=force, dry_run=False
        )
        output.items(client().clean(request), _done_table())
        return
    output.items(chosen, _table())
    if check and chosen:
        many = "1 thing is" if len(chosen) == 1 else f"{len(chosen)} things are"
        raise CheckFailedError(f"{many} left behind", hint="gpushare clean --yes")
    if any(one.ours for one in chosen) and output.human:
        click.echo("gpushare: nothing was touched; remove what is ours: --yes", err=True)


def _named(found: Sequence[Leftover], pids: Sequence[int]) -> tuple[ProcessRef, ...]:
    """The processes as they are listed now; a later one of the same pid is another."""
    known = {one.process.pid: one.process for one in found if one.process}
    for pid in pids:
        if pid not in known:
            raise UsageError(
                f"process {pid} is no leftover",
                "it has ended, or belongs to a share",
                "look again: gpushare clean",
            )
    return tuple(known[pid] for pid in pids)


def _table() -> Table[Leftover]:
    now = datetime.now(UTC)
    return Table(
        lambda one: one.name,
        Column("KIND", lambda one: one.kind),
        Column("OURS", lambda one: "yes" if one.ours else "no"),
        Column("USER", lambda one: one.user or NONE),
        Column("COMMAND", lambda one: one.command or NONE),
        Column("MEMORY", lambda one: NONE if one.memory is None else format_bytes(one.memory)),
        Column("AGE", lambda one: age(now - one.since) if one.since else NONE),
        Column("GPUS", lambda one: ",".join(one.gpus) or NONE, wide=True),
        Column("WHAT", lambda one: one.name),
        Column("WHY", lambda one: one.why),
    )


def _done_table() -> Table[Cleaned]:
    return Table(
        lambda done: done.leftover.name,
        Column("KIND", lambda done: done.leftover.kind),
        Column("OUTCOME", lambda done: done.outcome),
        Column("WHAT", lambda done: done.leftover.name),
        Column("BECAUSE", lambda done: done.because or NONE),
    )
