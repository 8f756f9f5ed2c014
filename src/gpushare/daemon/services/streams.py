# SPDX-License-Identifier: Apache-2.0
"""How many long calls each user may have open at the same time: event streams, searches of logs.

Each stream holds a connection and reads each new event again, and each search reads the whole
audit log. Without a bound one user could keep the daemon busy for all.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

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
        self.check(uid)
        self._open[uid] += 1
        try:
            yield
        finally:
            self._open[uid] -= 1
            self._open += Counter()  # without users who have none

    def stream(self, uid: int, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items; counted from the first one on, until it is closed. Raises as `one`."""
        # Before the answer begins, so that the caller gets the error and not an empty stream.
        self.check(uid)
        return self._counted(uid, items)

    def check(self, uid: int) -> None:
        if self._open[uid] >= self._most:
            raise RateLimitedError(
                f"too many {self._what}",
                f"you have {self._open[uid]}, and each user may have {self._most} at a time",
                "close one, or wait for one to end",
            )

    async def _counted(self, uid: int, items: AsyncIterator[T]) -> AsyncIterator[T]:
        with self.one(uid):
            async for item in items:
                yield item
