# SPDX-License-Identifier: Apache-2.0
"""Waits for a daemon that has gone away, such as one that is being upgraded.

What a call asks for must be safe to repeat: the daemon may have done it before it went away.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from gpushare.model.errors import DaemonUnreachableError

_PAUSE_SECONDS = 0.2

T = TypeVar("T")


class Reconnect:
    """`seconds`: how long a daemon may be away; 0: not at all.

    `away` is called once when it is, with the seconds that are left, and `back` when it answers
    again. `revive` is called after `away`, to start another daemon.
    """

    def __init__(
        self,
        seconds: float,
        *,
        away: Callable[[float], None] = lambda _: None,
        back: Callable[[], None] = lambda: None,
        revive: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._away, self._back = seconds, away, back
        self._revive, self._sleep, self._now = revive, sleep, now
        self._since: float | None = None

    def call(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`; raises DaemonUnreachableError when the time is over."""
        while True:
            try:
                result = attempt()
            except DaemonUnreachableError as error:
                self.gone(error)
                continue
            self.here()
            return result

    def tried(self, attempt: Callable[[], T], otherwise: T) -> T:
        """As `call`, but returns `otherwise` after a short pause while the daemon is away."""
        try:
            result = attempt()
        except DaemonUnreachableError as error:
            self.gone(error)
            return otherwise
        self.here()
        return result

    def gone(self, error: DaemonUnreachableError) -> None:
        """The daemon does not answer: pause, or raise the error when the time is over."""
        if self._since is None:
            self._since = self._now()
            if self._seconds > 0:
                self._away(self._seconds)
                self._revive()
        if self._now() - self._since >= self._seconds:
            raise error
        self._sleep(_PAUSE_SECONDS)

    def here(self) -> None:
        """The daemon answers."""
        if self._since is not None:
            self._since = None
            self._back()
