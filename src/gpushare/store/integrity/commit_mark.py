# SPDX-License-Identifier: Apache-2.0
"""Where state and audit log end, outside of them.

Most of the state is in SQLite's write-ahead log until a checkpoint. If that file is lost, or an
older state.db is put back, SQLite opens what is there without a word. The mark tells: every change
that matters publishes an event, events are numbered, and the mark has the newest number. A mark of
the audit log has its newest record in the same way.

A mark is kept twice: next to what it is about, and in the runtime directory, which a copy of the
state directory does not bring back. Both are written without a sync, so they are right after the
death of a process. After a power cut they may know of changes that the disk has lost; a mark
therefore names the boot that it was written in, and `synced`, the newest number that is safe.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

_SIZE = 200  # bytes, always: a mark is replaced in one write and needs no new room on a full disk
_FIELDS = 4  # and the checksum
_OLD_FIELDS = 2  # of earlier versions, without a checksum


class Known(NamedTuple):
    """`number`: the newest; `boot`: id of the boot of the machine in which it was written.

    `synced`: the newest number that a power cut cannot take back. `hash`: of an audit record.
    """

    number: int
    boot: str
    synced: int = 0
    hash: str = "-"


class CommitMark:
    """`paths`: the files; one that cannot be opened or written is left out."""

    def __init__(self, paths: Sequence[Path], boot: str) -> None:
        self.boot = boot
        self._fds = [fd for path in paths if (fd := _opened(path)) is not None]
        texts = [os.pread(fd, _SIZE, 0) for fd in self._fds]
        read = [_parsed(text) for text in texts]
        # What is known since before this daemon; `put` does not change it.
        self.before = newest(read, boot)
        self.damaged = any(
            text.strip() and known is None for text, known in zip(texts, read, strict=True)
        )
        self._last = Known(0, boot)

    def put(self, number: int, hash_: str = "-") -> None:
        """The change of this number is committed, and all before it."""
        self._write(self._last._replace(number=number, hash=hash_))

    def sync(self) -> None:
        """What is committed is on the disk."""
        self._write(self._last._replace(synced=self._last.number))

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)

    def _write(self, known: Known) -> None:
        self._last = known
        line = _line(known)
        for fd in self._fds:
            # A mark that is too low finds less; that is no reason to refuse the change.
            with suppress(OSError):
                os.pwrite(fd, line, 0)


def mark_paths(what: str, state_dir: Path, runtime: Path | None) -> list[Path]:
    """Where the marks of this state directory are; more than one may use a runtime directory."""
    name = f"{what}-{crc32(str(state_dir.absolute()).encode()):08x}.mark"
    return [state_dir / f"{what}.mark", *([runtime / name] if runtime else [])]


def known_numbers(path: Path) -> int:
    """The newest number that the mark at this path knows; 0: nothing is known."""
    try:
        known = _parsed(path.read_bytes()[:_SIZE])
    except OSError:
        return 0
    return known.number if known else 0


def newest(marks: Iterable[Known | None], boot: str) -> Known | None:
    """The mark that knows most, those of this boot first."""
    return max(
        (mark for mark in marks if mark), key=lambda mark: (mark.boot == boot, mark), default=None
    )


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _line(known: Known) -> bytes:
    text = f"{known.number} {known.boot or '-'} {known.synced} {known.hash}"
    return f"{text} {crc32(text.encode()):08x}".ljust(_SIZE - 1).encode() + b"\n"


def _parsed(raw: bytes) -> Known | None:
    fields = raw.decode(errors="replace").split()
    if len(fields) == _OLD_FIELDS and _is_number(fields[0]):
        return Known(int(fields[0]), fields[1])
    if len(fields) != _FIELDS + 1:
        return None
    number, boot, synced, hash_, checksum = fields
    text = f"{number} {boot} {synced} {hash_}"
    if checksum != f"{crc32(text.encode()):08x}":
        return None
    return Known(int(number), "" if boot == "-" else boot, int(synced), hash_)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
