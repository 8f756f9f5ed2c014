# SPDX-License-Identifier: Apache-2.0
"""`gpushare show`: the details of a share."""

import click

from gpushare.cli._connect import client, gpu_names
from gpushare.cli._format.fitting import described
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import gpu_label, share_details, share_name
from gpushare.cli._format.times import moment
from gpushare.cli._options import output_option, share_argument, watch_option
from gpushare.cli._reconnect import retrying
from gpushare.model.view import DecisionView


@click.command()
@share_argument
@click.option(
    "--decision",
    is_flag=True,
    help="Show the placement decision, and whether it would be the same today.",
)
@watch_option
@output_option
def show(share: str, *, decision: bool, watch: bool, output: Output) -> None:
    """Show the details of SHARE, given by name, id or id prefix, or by USER/NAME.

    \b
    gpushare show train-1
    gpushare show train-1 -o json | jq .enforcement
    gpushare show train-1 --decision
    """
    if decision:
        view = client().decision(share)
        output.item(view, view.share, lambda: _format_decision(view))
        return

    def once() -> None:
        view = client().show(share)
        # Only people need names of GPUs; scripts get UUIDs without a second request.
        gpus = gpu_names() if output.human else ()
        labels = {gpu.uuid: gpu_label(gpu) for gpu in gpus}
        output.item(view, share_name(view), lambda: share_details(view, labels))

    output.watch(once, again=watch, retry=retrying())


def _format_decision(decision: DecisionView) -> str:
    rows = [
        ("share", decision.share),
        ("decided", moment(decision.at)),
        ("other shares", ", ".join(decision.shares) or "none"),
        ("ahead of it", str(decision.ahead)),
        *(("why", line) for line in decision.decision.why),
        ("today", "the same" if decision.same else decision.again),
    ]
    return described(rows)
