# SPDX-License-Identifier: Apache-2.0
"""`gpushare wait`: wait until a share reaches a state."""

import time
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import reached, share_name
from gpushare.cli._options import output_option, share_argument
from gpushare.cli._reconnect import reconnect_option, reconnecting
from gpushare.model.errors import CheckFailedError
from gpushare.model.share import State
from gpushare.model.units import Seconds, parse_duration
from gpushare.model.view import ShareView

if TYPE_CHECKING:
    from gpushare.client.reconnect import Reconnect

_FOREVER = 10**9


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
@reconnect_option
@output_option
def wait(
    share: str, states: tuple[str, ...], timeout: str | None, output: Output, *, reconnect: float
) -> None:
    """Wait until SHARE reaches a state.

    Prints the state and, after the end, how the program ended: also of a share that had ended
    before. Exit code 3 if it ends without reaching that state.

    \b
    gpushare wait train-1 --for running --timeout 5m
    gpushare wait train-1
    """
    target_states = [State(state) for state in states] or [State.RELEASED, State.FAILED]
    seconds = parse_duration(timeout) if timeout else None
    view = _wait(share, target_states, seconds, reconnecting(reconnect))
    output.item(view, share_name(view), lambda: reached(view))
    # The daemon also answers when the share has ended.
    if view.state not in target_states:
        raise CheckFailedError(
            f"share {view.name} is {view.state}", view.reason, f"gpushare show {share_name(view)}"
        )


def _wait(
    share: str, states: Sequence[State], seconds: Seconds | None, reconnect: "Reconnect"
) -> ShareView:
    daemon, deadline = client(), time.monotonic() + (seconds or _FOREVER)
    # By its id: another share may get the name while the daemon is away.
    found = daemon.show(share).id

    def once() -> ShareView:
        return daemon.wait(found, states, Seconds(max(1, ceil(deadline - time.monotonic()))))

    return reconnect.call(once)
