# SPDX-License-Identifier: Apache-2.0
"""Rows that every request and pass reads, kept in memory as well.

The daemon is the only writer of the state file, so what it has written is what is there. A
transaction that is rolled back takes its rows with it: then everything is read again.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from .database import Database

K = TypeVar("K")
V = TypeVar("V")


class Mirror(Generic[K, V]):
    """`load` reads all rows, in their order."""

    def __init__(self, database: Database, load: Callable[[], dict[K, V]]) -> None:
        self._db, self._load = database, load
        self._rows: dict[K, V] | None = None
        self._rollbacks = database.rollbacks
        self._changes = 0

    @property
    def rows(self) -> dict[K, V]:
        """To be read only; a row that is replaced keeps its place."""
        if self._rows is None or self._rollbacks != self._db.rollbacks:
            self._rollbacks = self._db.rollbacks
            self._rows = self._load()
            self._changes += 1
        return self._rows

    @property
    def generation(self) -> int:
        """Grows with each change."""
        return self._changes + self._db.rollbacks

    def put(self, key: K, value: V, *, counts: bool = True) -> None:
        """After the row was written. `counts`: the generation grows."""
        self.rows[key] = value
        self._changes += counts

    def remove(self, key: K) -> None:
        """After the row was removed, or is none of these any more."""
        self._changes += self.rows.pop(key, None) is not None
