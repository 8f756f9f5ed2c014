# SPDX-License-Identifier: Apache-2.0
"""The pause between two passes."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

from gpushare.hardware.ports import Clock

Times = Callable[[], Iterable[float]]


class Rest:
    """`wake` ends a pause early. `times`: when the next pass is due at the latest, by `elapsed`.

    `begins`: when the next reservation begins, by the time of day.
    """

    def __init__(
        self,
        clock: Clock,
        wake: asyncio.Event,
        times: Times = tuple,
        begins: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._clock, self._wake = clock, wake
        self._times, self._begins = times, begins

    async def rest(self, seconds: float) -> None:
        """Wait `seconds`, or until a process ends or a time is due.

        Not by wait_for(): before Python 3.12 it loses a cancellation that arrives together with
        the event (cpython issue 86296), and the daemon would not stop at SIGTERM.
        """
        try:
            async with asyncio.timeout(self._due(seconds)):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    def _due(self, seconds: float) -> float:
        now, begins = self._clock.elapsed(), self._begins()
        until = [(begins - self._clock.now()).total_seconds()] if begins else []
        return max(0.0, min([seconds, *until, *(at - now for at in self._times() if at > now)]))
