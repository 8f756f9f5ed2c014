# SPDX-License-Identifier: Apache-2.0
"""Host memory for suspended shares, one pool per user, all of them together within one bound."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from gpushare.guard import Flag, Swap, library
from gpushare.hardware.ports import HostMemory
from gpushare.model.errors import HostMemoryError
from gpushare.model.units import GIB, Bytes
from gpushare.model.value import Value

_CREATE = "gpushare_swap_create"
_LEAST = GIB  # a file system with less room than this is not worth a pool
_THREADS = 8
_SYSTEM = Path("/run")  # below it we may mount; elsewhere the table of mounts is left alone
_SHARED = Path("/dev/shm")  # noqa: S108 (folders in it carry our uid and are checked)


class Swapping(Value):
    """`folder` None: no pools. `memory`: the most for all users. `ahead`: kept ready per user."""

    folder: Path | None = None
    memory: Bytes = Bytes(0)
    ahead: Bytes = Bytes(0)


class Pools:
    """Without a pool the guard takes memory of the program's own, which nobody has made ready."""

    def __init__(self, host: HostMemory, swapping: Swapping) -> None:
        self._host, self._swapping = host, swapping
        self._touching: dict[Path, threading.Thread] = {}

    @property
    def flags(self) -> Flag:
        """What programs do with their memory: it can always be moved."""
        return Flag.MOVABLE | (Flag.AHEAD if self._swapping.ahead else Flag(0))

    def open(self, uid: int, gid: int, wanted: Bytes) -> Path | None:
        """The user's pool, of `wanted` bytes as far as there are so many; None: there is none."""
        folder = self._folder()
        if folder is None:
            return None
        pool = Swap(folder / str(uid))
        size = self._size(pool, wanted)
        if not size:
            return None
        if not (pool.path / "table").exists():
            self._make(pool, uid, gid)
        pool.enable(size)
        self._ready(pool, size)
        return pool.path

    def close(self, uid: int, wanted: Bytes) -> None:
        """Give back what the user's remaining shares do not need."""
        folder = self._swapping.folder
        for parent in filter(None, (folder, self._fallback(folder))):
            pool = Swap(parent / str(uid))
            if not (pool.path / "table").exists():
                continue
            if not wanted:
                shutil.rmtree(pool.path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    parent.rmdir()
                continue
            with contextlib.suppress(OSError, HostMemoryError):
                pool.reap()
                pool.enable(self._size(pool, wanted))

    def _folder(self) -> Path | None:
        """Where pools can be: in memory, and large enough to be worth it."""
        chosen = self._swapping.folder
        if chosen is None or self._swapping.memory < _LEAST or not hasattr(library(), _CREATE):
            return None
        for folder in (chosen, self._fallback(chosen)):
            if folder and self._usable(folder):
                return folder
        return None

    def _usable(self, folder: Path) -> bool:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
            if folder.stat().st_uid != os.geteuid():
                return False
            if os.geteuid() == 0 and folder.is_relative_to(_SYSTEM):
                self._host.mount(folder, self._swapping.memory)
            return self._host.in_memory(folder) and self._host.room(folder) >= _LEAST
        except OSError:
            return False

    def _fallback(self, chosen: Path | None) -> Path | None:
        """In the machine's shared memory, for daemons whose own folder is on a disk."""
        if chosen is None:
            return None
        return _SHARED / f"gpushare-{os.geteuid()}{str(chosen).replace('/', '-')}"

    def _size(self, pool: Swap, wanted: Bytes) -> Bytes:
        """In whole units: what the others leave of the bound and of the file system."""
        others = sum(size for path, size in self._enabled(pool.path.parent) if path != pool.path)
        data = pool.path / "data"
        own = data.stat().st_blocks * 512 if data.exists() else 0
        room = self._host.room(pool.path.parent) + own
        return Bytes(max(0, min(wanted, self._swapping.memory - others, room)))

    def _enabled(self, folder: Path) -> Iterator[tuple[Path, Bytes]]:
        for table in folder.glob("*/table"):
            with contextlib.suppress(OSError):
                yield table.parent, Swap(table.parent).info().enabled

    def _make(self, pool: Swap, uid: int, gid: int) -> None:
        """The user's alone: the kernel zeroes pages when they change hands between folders."""
        shutil.rmtree(pool.path, ignore_errors=True)
        pool.path.mkdir(mode=0o700)
        Swap.create(pool.path, self._swapping.memory)
        if os.geteuid() == 0:
            for path in (pool.path, *pool.path.iterdir()):
                os.chown(path, uid, gid)

    def _ready(self, pool: Swap, size: Bytes) -> None:
        """Touching takes a second for every few GiB, so nobody waits for it."""
        running = self._touching.get(pool.path)
        ahead = Bytes(min(size, self._swapping.ahead))
        if ahead and (running is None or not running.is_alive()):
            thread = threading.Thread(target=_touch, args=(pool, ahead), daemon=True)
            self._touching[pool.path] = thread
            thread.start()


def _touch(pool: Swap, ahead: Bytes) -> None:
    with contextlib.suppress(OSError, HostMemoryError):
        pool.touch(ahead, _THREADS)
