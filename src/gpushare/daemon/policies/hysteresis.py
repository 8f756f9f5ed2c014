# SPDX-License-Identifier: Apache-2.0
"""Tools of the anomaly rules: recent counts, and alarms that do not repeat."""

from collections import deque
from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_GRAIN = 64  # parts of a window: frequent events are not kept one by one


class Windows(Generic[K]):
    """How much there was of each key within the last `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._counts: dict[K, deque[tuple[float, int]]] = {}

    def add(self, key: K, now: float, number: int = 1) -> None:
        """Count `number` more of the key at the time `now`, in seconds."""
        counts = self._counts.setdefault(key, deque())
        # The count joins the newest grain, so a window has a bounded length however often it is
        # added to.
        if counts and now - counts[-1][0] < self._seconds / _GRAIN:
            counts[-1] = (counts[-1][0], counts[-1][1] + number)
        else:
            counts.append((now, number))

    def totals(self, now: float) -> dict[K, int]:
        """Of every key with anything in its window."""
        for key, counts in list(self._counts.items()):
            while counts and counts[0][0] <= now - self._seconds:
                counts.popleft()
            if not counts:
                del self._counts[key]
        return {key: sum(number for _, number in counts) for key, counts in self._counts.items()}


class Alarm(Generic[K]):
    """Rings once for a key, and again only after it was calm for `calm` seconds."""

    def __init__(self, calm: float) -> None:
        self._calm = calm
        self._upset: dict[K, float] = {}

    def rings(self, key: K, now: float, *, high: bool, low: bool) -> bool:
        """`high`: bad enough to report; `low`: good enough to end. Between them nothing changes."""
        if key not in self._upset:
            if high:
                self._upset[key] = now
            return high
        if not low:
            self._upset[key] = now
        elif now - self._upset[key] >= self._calm:
            del self._upset[key]
        return False

    def settle(self, present: Collection[K], now: float) -> None:
        """Keys that are no longer seen count as calm."""
        for key in self._upset.keys() - set(present):
            self.rings(key, now, high=False, low=True)
