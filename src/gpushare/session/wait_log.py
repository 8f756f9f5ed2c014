# SPDX-License-Identifier: Apache-2.0
"""What a Python program waits for, through the logger `gpushare`.

As warnings, which Python prints on stderr where a program has not configured logging: a program
that stands still for an hour without a word looks broken.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from gpushare.client.reconnect import Reconnect
from gpushare.config.printable import printable
from gpushare.model.view import ShareView


class WaitLog:
    """Logs what a queued share waits for, once for each change."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, share: ShareView) -> None:
        queue = share.queue
        text = f"share {share.name} is queued #{queue.position if queue else 1}"
        if queue and queue.waits_for:
            text += f", waits for {queue.waits_for}"
        if text != self._last:
            warn(text + _expected(share))
        self._last = text


def logged_reconnect(seconds: float, revive: Callable[[], None]) -> Reconnect:
    """Logs that the daemon is away, and that it is back. `revive`: see `Reconnect`."""
    return Reconnect(
        seconds,
        away=lambda left: warn(f"the daemon is away; waiting for it for at most {left:g} s"),
        back=lambda: warn("the daemon is back"),
        revive=revive,
    )


def _expected(share: ShareView) -> str:
    if share.queue is None or share.queue.eta is None:
        return ""
    minutes = (share.queue.eta - datetime.now(UTC)).total_seconds() / 60
    return f" (about {max(1, round(minutes))} min)"


def warn(text: str) -> None:
    """One line of the logger."""
    import logging  # noqa: PLC0415 (start-up time)

    logging.getLogger("gpushare").warning("gpushare: %s", printable(text))
