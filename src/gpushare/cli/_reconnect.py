# SPDX-License-Identifier: Apache-2.0
"""`--reconnect`: what commands that wait do while the daemon is away, and say about it."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from gpushare.cli._connect import client, config
from gpushare.cli._format.output import note
from gpushare.model.units import parse_duration

if TYPE_CHECKING:
    from gpushare.client.reconnect import Reconnect

Command = Callable[..., Any]


def reconnect_option(command: Command) -> Command:
    """The command gets `reconnect`: the seconds to wait for a daemon that is away."""

    @click.option(
        "--reconnect",
        metavar="TIME",
        help="Wait this long for a daemon that goes away. Default: the setting reconnect_timeout.",
    )
    @wraps(command)
    def with_reconnect(*args: Any, reconnect: str | None, **rest: Any) -> Any:
        seconds = parse_duration(reconnect) if reconnect else config().settings.reconnect_timeout
        return command(*args, reconnect=float(seconds), **rest)

    return with_reconnect


def reconnecting(
    seconds: float,
    before: Callable[[], None] = lambda: None,
    *,
    revive: Callable[[], None] = lambda: None,
) -> "Reconnect":
    """Says once on stderr that the daemon is away, and that it is back; `before` each of them.

    `revive`: see `Reconnect`.
    """
    from gpushare.client.reconnect import Reconnect  # noqa: PLC0415 (start-up time)

    def say(text: str) -> None:
        before()
        note(text)

    return Reconnect(
        seconds,
        away=lambda left: say(f"the daemon is away; waiting for it for at most {left:g} s"),
        back=lambda: say("the daemon is back"),
        revive=revive,
    )


def retrying() -> Callable[[Callable[[], None]], None]:
    """For what is shown again and again: waits for the daemon first, and shows it again."""
    again = reconnecting(config().settings.reconnect_timeout)

    def show(it: Callable[[], None]) -> None:
        # So that what was shown last stays on the terminal while the daemon is away.
        again.call(client().version)
        again.call(it)

    return show
