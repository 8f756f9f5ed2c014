# SPDX-License-Identifier: Apache-2.0
"""Reads a shared file often: what has not changed since the last look is not parsed again.

The time of a file says nothing, because programs write to a mapping. So its bytes are compared, and
whether the processes live that had locks in it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from .shared_file import life_ended, opened

T = TypeVar("T")


class FileMark(NamedTuple):
    """`content`: of the beginning of the file, all that was read. `lives`: and whether each has
    ended."""

    size: int
    content: bytes
    lives: tuple[tuple[int, bool], ...]

    def holds(self, fd: int) -> bool:
        """Whether the file still says the same."""
        return (
            os.fstat(fd).st_size == self.size
            and os.pread(fd, len(self.content), 0) == self.content
            and all(life_ended(fd, life) == ended for life, ended in self.lives)
        )


class Reader(Generic[T]):
    """`parse` reads a descriptor; without a mark the file is parsed at every look."""

    def __init__(self, path: Path, parse: Callable[[int], tuple[T, FileMark | None]]) -> None:
        self._path, self._parse = path, parse
        self._known: tuple[FileMark, T] | None = None

    def snapshot(self) -> T:
        """The same value while the file is the same; raises as `parse`, and as open() does."""
        known = self._known
        with opened(self._path) as fd:
            if known and known[0].holds(fd):
                return known[1]
            snapshot, mark = self._parse(fd)
        self._known = (mark, snapshot) if mark else None
        return snapshot
