# SPDX-License-Identifier: Apache-2.0
"""Host memory for suspended shares, one pool per user, all of them together within one bound."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from gpushare.guard import Flag, Swap, former_pool
from gpushare.hardware.ports import HostMemory
from gpushare.mechanisms.shm_paths import open_to_pass, ours, shared
from gpushare.model.errors import HostMemoryError
from gpushare.model.units import GIB, Bytes
from gpushare.model.value import Value

_LEAST = GIB  # a file system with less room than this is not worth a pool
# One thread touches 16 GiB in 3.6 s (ADR 0019).
_THREADS = 8
_SYSTEM = Path("/run")  # below it we may mount; elsewhere the table of mounts is left alone


class SwapSettings(Value):
    """`folder` None: no pools. `memory`: the most for all users. `ahead`: kept ready per user."""

    folder: Path | None = None
    memory: Bytes = Bytes(0)
    ahead: Bytes = Bytes(0)


class SwapPools:
    """Without a pool the guard uses the program's own memory, which is not prestaged."""

    def __init__(self, host: HostMemory, swapping: SwapSettings) -> None:
        self._host, self._swapping = host, swapping
        self._touching: dict[Path, threading.Thread] = {}

    @property
    def flags(self) -> Flag:
        """What programs do with their memory: it can always be moved."""
        return Flag.MOVABLE | (Flag.AHEAD if self._swapping.ahead else Flag(0))

    def open(self, uid: int, gid: int, needed: Bytes, *, former: bool = False) -> Path | None:
        """The user's pool, of `needed` bytes as far as there are so many; None: there is none.

        `former`: programs may have a pool of an earlier release mapped. It is kept for them.
        """
        folder = self._folder()
        if folder is None:
            return None
        pool = Swap(folder / str(uid))
        if former and former_pool(pool.path) is not None:
            return None
        try:
            if size := self._size(pool, needed):
                self._sized(pool, size, uid, gid)
        # Without a pool programs use host memory of their own: slower, but no reason to refuse the
        # share.
        except (OSError, HostMemoryError):
            return None
        self._ready(pool, size)
        return pool.path if size else None

    def prepare(self) -> bool:
        """Have the file system for pools; False: without one, pools are in the shared memory."""
        return self._folder() == self._swapping.folder

    def left(self, uid: int) -> Bytes:
        """What the user's programs can still take: of the pool, else of the machine's memory."""
        for folder in self._folders():
            with contextlib.suppress(OSError):
                pool = Swap(folder / str(uid)).info()
                return Bytes(max(0, pool.enabled - pool.taken))
        return self._host.available()

    def reap(self) -> None:
        """Free what dead programs had."""
        for folder in self._folders():
            for table in folder.glob("*/table"):
                with contextlib.suppress(OSError):
                    Swap(table.parent).reap()

    def close(self, uid: int, needed: Bytes) -> None:
        """Free what the user's remaining shares do not need."""
        for parent in self._folders():
            pool = Swap(parent / str(uid))
            if not pool.path.exists():
                continue
            if not needed:
                shutil.rmtree(pool.path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    parent.rmdir()
                continue
            with contextlib.suppress(OSError, HostMemoryError):
                pool.reap()
                pool.enable(self._size(pool, needed))

    def _folder(self) -> Path | None:
        """Where pools can be: in memory, and large enough to be worth it."""
        chosen = self._swapping.folder
        if chosen is None or self._swapping.memory < _LEAST:
            return None
        return next((folder for folder in self._folders() if self._usable(folder)), None)

    def _folders(self) -> list[Path]:
        """Where pools can be: as chosen, else in the machine's shared memory."""
        chosen = self._swapping.folder
        return [] if chosen is None else [chosen, shared(chosen)]

    def _usable(self, folder: Path) -> bool:
        try:
            # Anyone can make a folder in /dev/shm before us; pools in it would be theirs.
            if not ours(folder):
                return False
            open_to_pass(folder)
            # A mount of our own has huge pages and a bound; without root the machine's /dev/shm
            # serves.
            if os.geteuid() == 0 and folder.is_relative_to(_SYSTEM):
                self._host.mount(folder, self._swapping.memory)
            good = self._host.in_memory(folder) and self._host.room(folder) >= _LEAST
        except OSError:
            return False
        if not good:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return good

    def _size(self, pool: Swap, needed: Bytes) -> Bytes:
        """In whole units: what the others leave of the bound and of the file system."""
        others = sum(size for path, size in self._enabled(pool.path.parent) if path != pool.path)
        data = pool.path / "data"
        # `st_blocks` counts units of 512 bytes (inode(7)). The file is sparse, and what it occupies
        # already must not count as missing from the file system.
        own = data.stat().st_blocks * 512 if data.exists() else 0
        room = self._host.room(pool.path.parent) + own
        return Bytes(max(0, min(needed, self._swapping.memory - others, room)))

    def _enabled(self, folder: Path) -> Iterator[tuple[Path, Bytes]]:
        for table in folder.glob("*/table"):
            former = former_pool(table.parent)
            with contextlib.suppress(OSError):
                yield table.parent, Bytes(former or Swap(table.parent).info().enabled)

    def _sized(self, pool: Swap, size: Bytes, uid: int, gid: int) -> None:
        try:
            pool.enable(size)
        except BlockingIOError:
            # A process of the user has a lease on it: the pool is used as it is.
            return
        except OSError:  # there is none, or its making was cut short
            self._make(pool, size, uid, gid)

    def _make(self, pool: Swap, size: Bytes, uid: int, gid: int) -> None:
        """The files are the user's alone: the kernel zeroes pages between one file and another."""
        shutil.rmtree(pool.path, ignore_errors=True)
        open_to_pass(pool.path)
        Swap.create(pool.path, size)
        if os.geteuid() == 0:
            for path in pool.path.iterdir():
                os.chown(path, uid, gid, follow_symlinks=False)

    def _ready(self, pool: Swap, size: Bytes) -> None:
        """Prefaulting takes a second per few GiB, so it runs in the background."""
        running = self._touching.get(pool.path)
        ahead = Bytes(min(size, self._swapping.ahead))
        if ahead and (running is None or not running.is_alive()):
            thread = threading.Thread(target=_touch, args=(pool, ahead), daemon=True)
            self._touching[pool.path] = thread
            thread.start()


def _touch(pool: Swap, ahead: Bytes) -> None:
    with contextlib.suppress(OSError, HostMemoryError):
        pool.touch(ahead, _THREADS)
