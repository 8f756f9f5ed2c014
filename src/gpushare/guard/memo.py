# SPDX-License-Identifier: Apache-2.0
"""Values that are made again only when what they are made of has changed."""

from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Memo(Generic[K, T]):
    """One value for each key; the same object while it is made of equal things.

    So users who make something of that value see by its identity that nothing has changed. `most`:
    values at the same time, for users that cannot say which keys are of the past.
    """

    def __init__(self, most: int | None = None) -> None:
        self._kept: dict[K, tuple[tuple[object, ...], T]] = {}
        self._most = most

    def of(self, key: K, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """`inputs`: all that `make` depends on. Tuples compare what is identical at once."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != inputs:
            if len(self._kept) == self._most:
                self._kept.clear()
            kept = self._kept[key] = inputs, make()
        return kept[1]

    def keep(self, keys: Collection[K]) -> None:
        """Forget every other key."""
        for gone in [key for key in self._kept if key not in keys]:
            del self._kept[gone]

    def forget(self, key: K) -> None:
        self._kept.pop(key, None)
