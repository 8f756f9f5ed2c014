# SPDX-License-Identifier: Apache-2.0
"""Files that the daemon shares with programs, which can put anything in their place."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read from; raises OSError as open() does."""
    # Without O_NONBLOCK a named pipe in the file's place would block the reader.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def check(result: int, path: Path, corrupt: Callable[[Path, str], Exception]) -> None:
    """Raise the error that a function of the guard library returned for the file."""
    if result == -errno.EBADMSG:
        raise corrupt(path, "it does not have the layout of this version")
    if result < 0:
        raise OSError(-result, os.strerror(-result), str(path))
