# SPDX-License-Identifier: Apache-2.0
"""The same thing again and again is written down a few times, and then counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

LIMIT, WINDOW_SECONDS = 20, 60.0
K = TypeVar("K")
T = TypeVar("T")


@dataclass
class _Count(Generic[T]):
    ends: float
    seen: int
    last: T


class Dedupe(Generic[K, T]):
    """`elapsed` is a clock in seconds."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._counts: dict[K, _Count[T]] = {}

    def admit(self, key: K, item: T) -> bool:
        """Whether it is to be written down; otherwise it is counted."""
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = _Count(self._elapsed() + WINDOW_SECONDS, 0, item)
        found.seen, found.last = found.seen + 1, item
        return found.seen <= LIMIT

    def due(self) -> list[tuple[T, int]]:
        """The last of each kind whose time is over, and how many were not written down."""
        now = self._elapsed()
        over = [key for key, count in self._counts.items() if count.ends <= now]
        counts = [self._counts.pop(key) for key in over]
        return [(count.last, count.seen - LIMIT) for count in counts if count.seen > LIMIT]

    def all(self) -> list[tuple[T, int]]:
        """As `due`, but without waiting for the time."""
        counts, self._counts = self._counts, {}
        return [(c.last, c.seen - LIMIT) for c in counts.values() if c.seen > LIMIT]
