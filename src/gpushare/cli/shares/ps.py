# SPDX-License-Identifier: Apache-2.0
"""`gpushare ps`: list shares and the queue."""

from datetime import UTC, datetime

import click

from gpushare.cli._connect import client, gpu_names, other_daemon
from gpushare.cli._format import cordons
from gpushare.cli._format.output import Output, note
from gpushare.cli._format.shares import share_table
from gpushare.cli._options import output_option, watch_option
from gpushare.cli._reconnect import retrying
from gpushare.model.errors import BadSpecError
from gpushare.model.view import ShareView


@click.command()
@click.option("-a", "--all", "ended", is_flag=True, help="Show ended shares too.")
@click.option(
    "--filter",
    "filters",
    metavar="KEY=VALUE",
    multiple=True,
    help="Filter by user, state, name or priority.",
)
@watch_option
@output_option
def ps(*, ended: bool, filters: tuple[str, ...], watch: bool, output: Output) -> None:
    """List shares and the queue, in order of arrival.

    \b
    gpushare ps
    gpushare ps -a --filter user=lin
    gpushare ps -w -o jsonl
    """
    conditions = [_filter(text) for text in filters]

    def show() -> None:
        shares = [s for s in client().shares(ended=ended) if _matches(s, conditions)]
        # Only people need names of GPUs; scripts get UUIDs without a second request.
        gpus = gpu_names() if output.human else ()
        output.items(shares, share_table(gpus, datetime.now(UTC)))
        for line in cordons.ps_notes(gpus):
            note(line)
        if output.human and (machine := other_daemon()):
            note(f"shares of the machine's daemon: gpushare --socket {machine} ps")

    output.watch(show, again=watch, retry=retrying())


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in {"user", "state", "name", "priority"}:
        raise BadSpecError(
            f"cannot filter by {text!r}",
            "",
            "use user=VALUE, state=VALUE, name=VALUE or priority=VALUE",
        )
    return key, value


def _matches(share: ShareView, conditions: list[tuple[str, str]]) -> bool:
    return all(getattr(share, key) == value for key, value in conditions)
