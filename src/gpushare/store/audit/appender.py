# SPDX-License-Identifier: Apache-2.0
"""One file to which one process appends whole lines."""

import errno
import fcntl
import os
import stat
from pathlib import Path

from gpushare.model.errors import DaemonRunningError, DeniedError, StateError, StateFullError

from .chain import read
from .files import backwards

MODE = 0o640
_CUT = b" (cut off)\n"  # ends a line that was cut off; no record ends like that
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Appender:
    """`size`: how much of the file is ours, in bytes.

    Raises DaemonRunningError if another process appends to it, DeniedError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # O_APPEND: the kernel puts every write at the end, and the file may be append-only (chattr
        # +a).
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._fd = os.open(path, flags, MODE)
        except OSError as error:
            raise DeniedError(
                f"cannot write the audit log {path}", str(error), "set audit_file to another place"
            ) from error
        self._own()
        self.size = os.fstat(self._fd).st_size
        self._listed = False

    def write(self, line: bytes) -> None:
        """Append a line; a partial one counts as unwritten. Raises StateFullError, StateError."""
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise _refused(self.path, error) from error
        if written != len(line):
            # A short write to a regular file means that there is no room for the rest (write(2)).
            raise _refused(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self.size += written

    def cut_off(self) -> bytes:
        """Bytes after the last whole record, made to end in a newline."""
        junk = _junk(self._fd)
        good = os.fstat(self._fd).st_size - len(junk)
        if junk and not junk.endswith(b"\n"):
            self.size = good + len(junk)
            self.write(_CUT)
            junk += _CUT
        self.size = good + len(junk)
        return junk

    def in_place(self) -> bool:
        """Whether the path still names this file."""
        ours = os.fstat(self._fd)
        try:
            there = self.path.lstat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def intact(self) -> bool:
        """Whether the file has the path and the size that it had after the last write."""
        return os.fstat(self._fd).st_size == self.size and self.in_place()

    def sync(self) -> None:
        """Sync the file, and its folder once. Raises StateError."""
        try:
            # fdatasync also writes the size of the file (fdatasync(2)), which is all that reading a
            # line needs.
            os.fdatasync(self._fd)
            # A new file can be lost in a power cut until its folder is synced too (fsync(2)).
            if not self._listed:
                _sync_folder(self.path.parent)
                self._listed = True
        except OSError as error:
            raise _refused(self.path, error) from error

    def close(self) -> None:
        os.close(self._fd)

    def _own(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_IMODE(os.fstat(self._fd).st_mode) != MODE:  # skipped after chattr +a
                os.fchmod(self._fd, MODE)
        except BlockingIOError:
            os.close(self._fd)
            raise DaemonRunningError(
                f"another process writes the audit log {self.path}",
                "a chain has one writer",
                "set audit_file to another place",
            ) from None
        except OSError as error:
            os.close(self._fd)
            raise DeniedError(f"{self.path} is not ours", str(error), "set audit_file") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _junk(descriptor: int) -> bytes:
    """Bytes after the last whole record, by the descriptor: the path may name another file."""
    lines: list[bytes] = []
    with os.fdopen(os.dup(descriptor), "rb") as file:
        for raw in backwards(file):
            if read(raw):
                break
            lines.insert(0, raw)
    return b"".join(lines)


def _refused(path: Path, error: OSError) -> StateError:
    if error.errno in _FULL:
        return StateFullError(
            f"cannot write the audit log {path}",
            "the disk is full",
            f"free space: df -h {path.parent}",
        )
    return StateError(f"cannot write the audit log {path}", str(error), f"ls -l {path.parent}")
