# SPDX-License-Identifier: Apache-2.0
"""One daemon for one state directory."""

import fcntl
import os
from pathlib import Path

from gpushare.model.errors import DaemonRunningError


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
            holder = os.pread(self._fd, 32, 0).decode().strip() or "unknown"
            os.close(self._fd)
            raise DaemonRunningError(
                f"another daemon (pid {holder}) uses {path.parent}",
                "one state directory belongs to one daemon",
                "use that daemon (gpushare ps), or start with another --state-dir",
            ) from None
        # Only the holder of the lock writes, so a reader finds the pid of the daemon that runs.
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)
