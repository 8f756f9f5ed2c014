# SPDX-License-Identifier: Apache-2.0
"""The memory of the machine itself, and file systems that are made of it."""

import ctypes
import os
from pathlib import Path

from gpushare.model.units import KIB, Bytes

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8  # sys/mount.h


class LinuxHostMemory:
    """Implements the HostMemory port under `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def total(self) -> Bytes:
        """All memory of the machine (proc_meminfo(5))."""
        return self._line("MemTotal:")

    def available(self) -> Bytes:
        """What programs can take without others losing any, as the kernel estimates it."""
        return self._line("MemAvailable:")

    def _line(self, name: str) -> Bytes:
        lines = (self._root / "proc/meminfo").read_text().splitlines()
        return Bytes(int(next(it.split()[1] for it in lines if it.startswith(name))) * KIB)

    def in_memory(self, path: Path) -> bool:
        """Whether what is written there stays in memory (tmpfs)."""
        return self._mount_of(path)[1] == "tmpfs"

    def room(self, path: Path) -> Bytes:
        """What can still be written there."""
        status = os.statvfs(path)
        return Bytes(status.f_bavail * status.f_frsize)

    def mount(self, path: Path, size: Bytes) -> bool:
        """Mount a tmpfs of huge pages there unless there is one; False where that is refused.

        Refused also in a mount namespace of our own, as systemd makes for services: programs would
        not see the mount, and find an empty folder there.
        """
        if self._mount_of(path)[0] == os.path.realpath(path):
            return self.in_memory(path)
        if not self._among_others():
            return False
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        libc = ctypes.CDLL(None, use_errno=True)
        # A kernel without transparent huge pages refuses the option `huge`.
        for pages in ("huge=always,", ""):
            options = f"{pages}size={size},mode=0711".encode()
            if libc.mount(b"gpushare", os.fsencode(path), b"tmpfs", flags, options) == 0:
                return True
        return False

    def _among_others(self) -> bool:
        """Whether the machine's other processes see our mounts; true where unknown."""
        try:
            ours, theirs = (
                (self._root / "proc" / who / "ns/mnt").readlink() for who in ("self", "1")
            )
        except OSError:
            return True
        return ours == theirs

    def _mount_of(self, path: Path) -> tuple[str, str]:
        """Mount point and type of the file system that the path is, or would be, on."""
        real = os.path.realpath(path)
        deepest = ("/", "")
        for line in (self._root / "proc/self/mounts").read_text().splitlines():
            _, point, kind, *_ = line.split()
            point = point.encode().decode("unicode_escape")  # a space stands as \040 there
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            # Of two mounts at the same place the later one is on top, and listed later.
            if inside and len(point) >= len(deepest[0]):
                deepest = (point, kind)
        return deepest
