# SPDX-License-Identifier: Apache-2.0
"""How many long calls each user may have open at the same time: event streams, searches of logs.

Each stream holds a connection and reads each new event again, and each search reads the whole
audit log. Without a bound one user could keep the daemon busy for all.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from weakref import finalize

from gpushare.model.errors import RateLimitedError

MOST_STREAMS, MOST_SEARCHES = 16, 2  # of one user

T = TypeVar("T")


class LongCalls:
    """`what`: what a user has several of, in the plural."""

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._open: Counter[int] = Counter()

    @contextmanager
    def one(self, uid: int) -> Iterator[None]:
        """Raises RateLimitedError while the user has as many as a user may have."""
        self._begin(uid)
        try:
            yield
        finally:
            self._end(uid)

    def stream(self, uid: int, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items; counted from now on, until they end or are dropped. Raises as `one`."""
        # Not when the first item is asked for: the answer has begun by then, and many calls at once
        # would all have passed.
        self._begin(uid)
        return _Stream(items, lambda: self._end(uid))

    def _begin(self, uid: int) -> None:
        self.check(uid)
        self._open[uid] += 1

    def _end(self, uid: int) -> None:
        self._open[uid] -= 1
        self._open += Counter()  # without users who have none

    def check(self, uid: int) -> None:
        if self._open[uid] >= self._most:
            raise RateLimitedError(
                f"too many {self._what}",
                f"you have {self._open[uid]}, and each user may have {self._most} at a time",
                "close one, or wait for one to end",
            )


class _Stream(AsyncIterator[T]):
    def __init__(self, items: AsyncIterator[T], ended: Callable[[], None]) -> None:
        self._items = items
        # Also where no item was ever asked for, because the caller was gone.
        self._ended = finalize(self, ended)

    async def __anext__(self) -> T:
        try:
            return await anext(self._items)
        except BaseException:
            self._ended()
            raise
