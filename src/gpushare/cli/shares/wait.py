# SPDX-License-Identifier: Apache-2.0
"""`gpushare wait`: wait until a share reaches a state."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import reached, share_name
from gpushare.cli._options import output_option, share_argument
from gpushare.model.errors import CheckFailedError
from gpushare.model.share import State
from gpushare.model.units import Seconds, parse_duration

_FOREVER = Seconds(10**9)


@click.command()
@share_argument
@click.option(
    "--for",
    "states",
    type=click.Choice([*map(str, State)]),
    multiple=True,
    help="State to wait for. Can be repeated. Default: the end of the share.",
)
@click.option("--timeout", metavar="TIME", help="Give up after this time, with exit code 124.")
@output_option
def wait(share: str, states: tuple[str, ...], timeout: str | None, output: Output) -> None:
    """Wait until SHARE reaches a state.

    Prints the state and, after the end, how the program ended: also of a share that had ended
    before. Exit code 3 if it ends without reaching that state.

    \b
    gpushare wait train-1 --for running --timeout 5m
    gpushare wait train-1
    """
    target_states = [State(state) for state in states] or [State.RELEASED, State.FAILED]
    view = client().wait(share, target_states, parse_duration(timeout) if timeout else _FOREVER)
    output.item(view, share_name(view), lambda: reached(view))
    # The daemon also answers when the share has ended.
    if view.state not in target_states:
        raise CheckFailedError(
            f"share {view.name} is {view.state}", view.reason, f"gpushare show {share_name(view)}"
        )
