# SPDX-License-Identifier: Apache-2.0
"""Room on the disk that is kept for the end of shares.

When the disk is full, programs still end and their shares must give up their GPUs, which has to be
recorded. The reserve is a file that holds that room; it is given up when a write fails for want of
space, and taken again when there is enough. New shares are refused in between.
"""

import os
from contextlib import suppress
from pathlib import Path

SIZE = 4 * 1024**2  # bytes: some thousand ends of shares


class Reserve:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.held = False
        self.take()

    def take(self) -> None:
        """Take the room if it is there."""
        if self.held:
            return
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, SIZE)
            self.held = True
        except OSError:
            self.give_up()
        finally:
            os.close(fd)

    def give_up(self) -> None:
        """Leave the room to the state file."""
        self.held = False
        with suppress(OSError):
            self._path.unlink()
