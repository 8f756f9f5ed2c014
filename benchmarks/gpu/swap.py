# SPDX-License-Identifier: Apache-2.0
"""A pool of host memory for suspended shares: huge pages where root can mount them."""

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .share import library

UNIT = 32 << 20
THREADS = 16


@dataclass(frozen=True)
class Swap:
    folder: Path
    size: int
    huge: bool

    def _call(self, name: str, *arguments: object) -> int:
        call = getattr(library(), name)
        call.restype = ctypes.c_int64 if name.endswith("touch") else ctypes.c_int
        code = int(call(str(self.folder).encode(), *arguments))
        if code < 0:
            raise OSError(-code, name)
        return code

    def create(self) -> None:
        self._call("gpushare_swap_pool_create", ctypes.c_uint64(self.size), ctypes.c_uint64(UNIT))
        self._call("gpushare_swap_pool_enable", ctypes.c_uint64(self.size))

    def touch(self) -> float:
        """Seconds until all of it was written to once."""
        begun = time.monotonic()
        self._call(
            "gpushare_swap_pool_prefault", ctypes.c_uint64(self.size), ctypes.c_uint(THREADS)
        )
        return time.monotonic() - begun


def _mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "gs-swap", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _mount(folder: Path, size: int) -> tuple[bool, bool]:
    """Whether something is mounted now, and whether it has huge pages; as root only."""
    room = f"size={size + (1 << 30)}"
    if os.geteuid() != 0:
        return False, False
    if _mounted(folder, f"huge=always,{room}"):
        return True, True
    return _mounted(folder, room), False


@contextmanager
def pool(size: int) -> Iterator[Swap]:
    """`size` bytes, in whole units."""
    with tempfile.TemporaryDirectory(
        prefix="gs-swap-", dir="/dev/shm", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name) / "pool"
        folder.mkdir()
        mounted, huge = _mount(folder, size)
        try:
            swap = Swap(folder, -(-size // UNIT) * UNIT, huge)
            swap.create()
            yield swap
        finally:
            if mounted:
                subprocess.run(["umount", "-l", folder], check=False)
