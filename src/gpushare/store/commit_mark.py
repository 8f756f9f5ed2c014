# SPDX-License-Identifier: Apache-2.0
"""The number of the newest committed event, in a file of its own next to state.db.

Most of the state is in SQLite's write-ahead log until a checkpoint. If that file is lost, or an
older state.db is put back, SQLite opens what is there without a word. The mark tells: every change
that matters publishes an event, events are numbered, and the mark has the newest number.

The file is written without a sync. So it is right after the death of a process, but after a power
cut it may know of commits that the disk has lost; it therefore names the boot that it was written
in, and is compared strictly within that boot only.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_SIZE = 80  # bytes, always: a mark is replaced in one write and needs no new room on a full disk


class CommittedEvent(NamedTuple):
    """`boot`: id of the boot of the machine in which it was written."""

    event: int
    boot: str


class CommitMark:
    """Raises OSError when it is opened."""

    def __init__(self, path: Path, boot: str) -> None:
        self._boot = boot
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def read(self) -> CommittedEvent | None:
        """None: nothing is known."""
        number, _, boot = os.pread(self._fd, _SIZE, 0).decode(errors="replace").partition(" ")
        if not (number.isascii() and number.isdecimal()):
            return None
        return CommittedEvent(event=int(number), boot=boot.strip())

    @property
    def boot(self) -> str:
        """Id of this boot."""
        return self._boot

    def put(self, event: int) -> None:
        """The event is committed, and all before it."""
        # A mark that is too low finds less; that is no reason to refuse the change.
        with suppress(OSError):
            os.pwrite(self._fd, f"{event} {self._boot}".ljust(_SIZE - 1).encode() + b"\n", 0)

    def close(self) -> None:
        os.close(self._fd)


def known_events(path: Path) -> int:
    """The number of the newest event that the mark at this path knows; 0: nothing is known."""
    try:
        number = path.read_bytes()[:_SIZE].decode(errors="replace").partition(" ")[0]
    except OSError:
        return 0
    return int(number) if number.isascii() and number.isdecimal() else 0
