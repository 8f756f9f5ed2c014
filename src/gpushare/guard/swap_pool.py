# SPDX-License-Identifier: Apache-2.0
"""The host pool of one user: host memory for the swap images of suspended programs.

A folder with a table of units and the units themselves. All programs of the user share the units;
other users cannot map them.
"""

import ctypes
import errno
import os
from pathlib import Path

from gpushare.model.errors import HostMemoryError
from gpushare.model.units import MIB, Bytes
from gpushare.model.value import Value

from . import layout
from .native import library
from .shared_file import check

UNIT = Bytes(32 * MIB)


class SwapInfo(Value):
    """Bytes. `enabled` may be used; of it, `ready` was touched ahead and `taken` is in use."""

    unit: Bytes
    enabled: Bytes
    ready: Bytes
    taken: Bytes


class Swap:
    """A pool by its folder. Nothing is held open between calls.

    Raises OSError where there is no pool, HostMemoryError where there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, size: Bytes, unit: Bytes = UNIT) -> "Swap":
        """Make the files in an existing folder, or keep them, and enable `size` bytes."""
        pool = cls(path)
        pool._check(_native().gpushare_swap_pool_create(os.fsencode(path), size, unit))
        return pool

    def enable(self, size: Bytes) -> None:
        """Allow `size` bytes, in whole units; units in use stay until they are given back."""
        self._check(_native().gpushare_swap_pool_enable(os.fsencode(self.path), size))

    def touch(self, size: Bytes, threads: int) -> Bytes:
        """Have `size` bytes ready before they are needed; returns how many are. Takes a while."""
        path = os.fsencode(self.path)
        return Bytes(self._check(_native().gpushare_swap_pool_prefault(path, size, threads)))

    def reap(self) -> int:
        """Free the units of dead processes; returns their number."""
        return self._check(_native().gpushare_swap_pool_reap(os.fsencode(self.path)))

    def info(self) -> SwapInfo:
        """Raises OSError where there is no pool."""
        raw = layout.GpushareSwapPoolInfo()
        self._check(_native().gpushare_swap_pool_info(os.fsencode(self.path), ctypes.byref(raw)))
        return SwapInfo(unit=raw.unit, enabled=raw.bytes, ready=raw.ready, taken=raw.taken)

    def _check(self, result: int) -> int:
        if result == -errno.ENOSPC:
            raise HostMemoryError(
                f"no room for suspended shares in {self.path}",
                os.strerror(errno.ENOSPC),
                "set swap_dir to a larger tmpfs, or swap_memory lower",
            )
        check(result, self.path, _corrupt)
        return result


def _corrupt(path: Path, because: str) -> OSError:
    return OSError(errno.EBADMSG, because, str(path))


def _native() -> ctypes.CDLL:
    loaded = library()
    text, word = ctypes.c_char_p, ctypes.c_uint64
    loaded.gpushare_swap_pool_create.argtypes = [text, word, word]
    loaded.gpushare_swap_pool_enable.argtypes = [text, word]
    loaded.gpushare_swap_pool_prefault.argtypes = [text, word, ctypes.c_uint]
    loaded.gpushare_swap_pool_prefault.restype = ctypes.c_int64
    loaded.gpushare_swap_pool_reap.argtypes = [text]
    loaded.gpushare_swap_pool_info.argtypes = [text, ctypes.c_void_p]
    return loaded
