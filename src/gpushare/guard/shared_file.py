# SPDX-License-Identifier: Apache-2.0
"""Files that the daemon shares with programs, which can put anything in their place."""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FLOCK = "hhqqi4x"  # struct flock of fcntl(2): type, origin, start, length, pid
# Numbers that native/guard/base/life.c gives: beyond the content of a file, within its offsets.
_LIVES = range(1 << 40, (1 << 62) - 1)


def life_ended(fd: int, life: int) -> bool:
    """Whether the process has ended that took this life in the file (native/guard/base/life.h).

    It held a lock on the byte of that number, which is known in every pid namespace. Raises OSError
    on a file system without such locks.
    """
    if life not in _LIVES:
        return True
    lock = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, life, 1, 0)
    kind: int = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, lock))[0]
    return kind == fcntl.F_UNLCK


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read from; raises OSError as open() does.

    BlockingIOError: a process has a lease on the file, for which open() would wait up to 45 s.
    """
    # Without O_NONBLOCK a named pipe in the file's place, or a lease, would block the reader.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except BlockingIOError as error:
        raise _leased(path) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield fd
    finally:
        os.close(fd)


def check(result: int, path: Path, corrupt: Callable[[Path, str], Exception]) -> None:
    """Raise the error that a function of the guard library returned for the file."""
    if result == -errno.EBADMSG:
        raise corrupt(path, "it does not have the layout of this version")
    if result == -errno.EWOULDBLOCK:
        raise _leased(path)
    if result < 0:
        raise OSError(-result, os.strerror(-result), str(path))


def _leased(path: Path) -> BlockingIOError:
    return BlockingIOError(errno.EWOULDBLOCK, "a process has a lease on it", str(path))
