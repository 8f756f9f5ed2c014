# SPDX-License-Identifier: Apache-2.0
"""`gpushare show`: one share, and why it is where it is."""

import click

from gpushare.cli._connect import client, gpu_names
from gpushare.cli._format.output import Output, aligned
from gpushare.cli._format.shares import gpu_label, share_details
from gpushare.cli._options import output_option, share_argument, watch_option
from gpushare.model.view import DecisionView


@click.command()
@share_argument
@click.option("--decision", is_flag=True, help="How its place was decided, and if still so today.")
@watch_option
@output_option
def show(share: str, *, decision: bool, watch: bool, output: Output) -> None:
    """Show everything about SHARE: its id, the start of its id, or its name.

    \b
    gpushare show train-1
    gpushare show train-1 -o json | jq .enforcement
    gpushare show train-1 --decision
    """
    if decision:
        made = client().decision(share)
        output.item(made, made.share, lambda: _decided(made))
        return

    def once() -> None:
        found = client().show(share)
        gpus = gpu_names() if output.human else ()
        labels = {gpu.uuid: gpu_label(gpu) for gpu in gpus}
        output.item(found, found.name, lambda: share_details(found, labels))

    output.watch(once, again=watch)


def _decided(made: DecisionView) -> str:
    rows = [
        ("share", made.share),
        ("decided", made.at.isoformat(timespec="seconds")),
        ("beside", ", ".join(made.shares) or "nobody"),
        ("ahead of it", str(made.ahead)),
        *(("why", line) for line in made.decision.why),
        ("today", "the same" if made.same else made.again),
    ]
    return aligned(rows)
