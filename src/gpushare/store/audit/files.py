# SPDX-License-Identifier: Apache-2.0
"""The files of one log: the one that grows, and its earlier ones."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gpushare.model.audit import Record

from .chain import read

_PACKED = frozenset({".gz", ".xz", ".zst", ".bz2"})
_BLOCK = 1 << 16
_UNKNOWN = 1 << 62


class Files:
    """`path` grows; `audit-000001.jsonl` is our name, `audit.jsonl.1` that of another program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def older(self) -> list[Path]:
        """Every earlier file that can be read, in order of its records."""
        return sorted(self._others(packed=False), key=lambda path: (_first(path), path.name))

    def all(self) -> list[Path]:
        """The earlier files, then the one that grows."""
        return [*self.older(), *([self.path] if self.path.exists() else [])]

    def packed(self) -> list[Path]:
        """Earlier files that another program has compressed."""
        return sorted(self._others(packed=True))

    def next_name(self) -> Path:
        """A free name, later than all of ours."""
        stem, suffix = self.path.stem, self.path.suffix
        paths = self.path.parent.glob(self._numbered)
        numbers = (number for path in paths if (number := self._number(path)) is not None)
        return self.path.with_name(f"{stem}-{max(numbers, default=0) + 1:06}{suffix}")

    def oldest(self, keep: int) -> Iterator[Path]:
        """Files of ours to delete so that at most `keep` bytes of earlier ones are left."""
        ours = [path for path in self.older() if self._number(path) is not None]
        excess = sum(path.stat().st_size for path in ours) - keep
        for path in ours:
            if excess <= 0:
                return
            excess -= path.stat().st_size
            yield path

    def last(self) -> Record | None:
        """The newest record that is whole."""
        return next(self.backwards(), None)

    def backwards(self) -> Iterator[Record]:
        """Every record that is whole, the newest first."""
        for path in reversed(self.all()):
            for raw in lines_backwards(path):
                if record := read(raw):
                    yield record

    @property
    def _numbered(self) -> str:
        """Our own names, packed or not. Without a suffix one star: two mean folders in a glob."""
        suffix = f"{self.path.suffix}*" if self.path.suffix else ""
        return f"{self.path.stem}-*{suffix}"

    def _number(self, path: Path) -> int | None:
        """In a name of ours; None: another program gave the file its name."""
        text = path.name.removeprefix(f"{self.path.stem}-").split(".")[0]
        return int(text) if text.isascii() and text.isdecimal() else None

    def _others(self, *, packed: bool) -> Iterator[Path]:
        name = self.path.name
        candidates = {
            path
            # Our own names, and those of logrotate: numbered, or with a date (`dateext`).
            for pattern in (self._numbered, f"{name}.*", f"{name}-*")
            for path in self.path.parent.glob(pattern)
            if path != self.path and path.is_file()
        }
        return (path for path in candidates if (path.suffix in _PACKED) is packed)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The file's lines, the last one first, each with its newline if it has one."""
    with path.open("rb") as file:
        yield from backwards(file)


def backwards(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an open file, the last one first, read in blocks of 64 KiB."""
    # From the end, because the newest records are asked for most and a log may be large.
    at, rest = os.fstat(file.fileno()).st_size, b""
    while at:
        size = min(_BLOCK, at)
        at -= size
        file.seek(at)
        rest, *lines = _split(file.read(size) + rest)
        yield from reversed(lines)
    if rest:
        yield rest


def _split(data: bytes) -> list[bytes]:
    """Lines with their newlines; not splitlines(), which also splits at carriage returns."""
    *whole, tail = data.split(b"\n")
    return [*(line + b"\n" for line in whole), *([tail] if tail else [])]


def _first(path: Path) -> int:
    """The number of the file's first record; files without any come last."""
    with path.open("rb") as file:
        return next((record.seq for raw in file if (record := read(raw))), _UNKNOWN)
