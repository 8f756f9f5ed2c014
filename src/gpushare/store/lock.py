# SPDX-License-Identifier: Apache-2.0
"""One daemon for one state directory."""

import fcntl
import os
from pathlib import Path

from gpushare.config.announced import announcement, read
from gpushare.model.errors import DaemonRunningError

_LONGEST = 4096  # bytes: a pid and a path


class StateLock:
    """Held until `release`; the Linux kernel releases it when the process dies.

    Raises DaemonRunningError naming the pid that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A lock of the Linux kernel, not a pid file: it goes with the process, however that
            # ends.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, socket = read(os.pread(self._fd, _LONGEST, 0))
            os.close(self._fd)
            raise _used(path.parent, pid or "unknown", socket) from None
        self._write(announcement(os.getpid()))

    def announce(self, socket: Path) -> None:
        """Write where this daemon listens, for clients and for a second daemon's error."""
        self._write(announcement(os.getpid(), socket))

    def _write(self, text: bytes) -> None:
        # Only the holder of the lock writes, so a reader finds the daemon that runs.
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        os.close(self._fd)


def _used(folder: Path, pid: str, socket: Path | None) -> DaemonRunningError:
    listens = f", and listens on {socket}" if socket else ""
    use = f"gpushare --socket {socket} ps" if socket else "gpushare ps"
    return DaemonRunningError(
        f"another daemon (pid {pid}) uses {folder}{listens}",
        "one state directory belongs to one daemon",
        f"use that daemon ({use}), or start with another --state-dir",
    )
