# SPDX-License-Identifier: Apache-2.0
"""Limits repetition: the first few of a kind are recorded, the rest are counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

# A client that repeats a refused call would otherwise fill the disk with records.
LIMIT, WINDOW_SECONDS = 20, 60.0
K = TypeVar("K")
T = TypeVar("T")


@dataclass
class _Count(Generic[T]):
    ends: float
    number: int
    last: T


class Dedupe(Generic[K, T]):
    """`elapsed` is a clock in seconds."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._counts: dict[K, _Count[T]] = {}

    def admit(self, key: K, item: T) -> bool:
        """Whether the item is to be recorded; otherwise it is counted."""
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(self._elapsed() + WINDOW_SECONDS, 0, item)
        count.number, count.last = count.number + 1, item
        return count.number <= LIMIT

    def due(self) -> list[tuple[T, int]]:
        """The last item of each kind whose window is over, and how many were not recorded."""
        now = self._elapsed()
        over = [key for key, count in self._counts.items() if count.ends <= now]
        counts = [self._counts.pop(key) for key in over]
        return [(count.last, count.number - LIMIT) for count in counts if count.number > LIMIT]

    def all(self) -> list[tuple[T, int]]:
        """As `due`, without waiting for the windows to end."""
        counts, self._counts = self._counts, {}
        return [(c.last, c.number - LIMIT) for c in counts.values() if c.number > LIMIT]
