# SPDX-License-Identifier: Apache-2.0
"""Answers that many callers get before they change.

An answer is kept with the version of what it was made from, and for a short time, because not all
that it shows has a version. So however often something is asked for, it is made a few times a
second at most while nothing changes, and a change is seen at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from gpushare.hardware.ports import Clock

T = TypeVar("T")
FRESH_SECONDS = 0.5  # how old an answer, and an observation in it, may be
MOST = 16  # answers of one kind: one for each caller who sees something else


Version = Callable[[], Hashable]


class _Kept(NamedTuple, Generic[T]):
    at: float
    version: Hashable
    answer: T


class Fresh(Generic[T]):
    """`version` grows when what answers are made from changes."""

    def __init__(self, clock: Clock, version: Version) -> None:
        self._clock, self._version = clock, version
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer for this key; made again if it is not there or no longer right."""
        kept = self.kept(key)
        return self.put(key, make()) if kept is None else kept

    def kept(self, key: Hashable) -> T | None:
        """The answer if it is there and right."""
        kept = self._kept.get(key)
        if kept is None or kept.version != self._version():
            return None
        return kept.answer if self._clock.elapsed() - kept.at < FRESH_SECONDS else None

    def put(self, key: Hashable, answer: T) -> T:
        self._kept[key] = _Kept(self._clock.elapsed(), self._version(), answer)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return answer
