# SPDX-License-Identifier: Apache-2.0
"""A share made of nothing but a region: what the guard alone does, without a daemon."""

import ctypes
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .gpu_page import GpuPage

NATIVE = Path(os.environ.get("GPUSHARE_NATIVE", Path(__file__).parents[2] / "native" / "build"))
GUARD = NATIVE / "guard" / "libgpushare.so"
PROBE = NATIVE / "probe" / "gpushare-probe"
MOVABLE, AHEAD = 1, 2  # enum gs_region_flag in native/guard/share/region.h
RUNS, LEAVES, AWAY, RETURNS = range(4)  # enum gs_phase
FAILURES = ("none", "unmovable", "host memory", "gpu memory", "driver")
_GPU, _HEADER, _UUID, _GPUS = 512, 512, 64, 16  # sizes in native/guard/share/region.h


class _Grant(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * _UUID),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("share_slot", ctypes.c_uint64),
    ]


@dataclass(frozen=True)
class Slot:
    """One process on its way off the GPU and back: struct gs_region_slot."""

    pid: int
    phase: int
    unmovable: int
    failure: int
    suspend_seen: int
    away: int
    host: int
    moved: int
    out_ns: int
    in_ns: int
    movable: int


def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(GUARD))


@dataclass(frozen=True)
class Share:
    region: Path
    limit: int
    context: int
    boards: Path | None = None
    swap: Path | None = None

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, **self.edits, **more}

    @property
    def edits(self) -> dict[str, str]:
        """What makes a program one of the share."""
        edits = {"LD_PRELOAD": str(GUARD), "GPUSHARE_REGION": str(self.region)}
        if self.boards:
            edits["GPUSHARE_BOARDS"] = str(self.boards)
        if self.swap:
            edits["GPUSHARE_SWAP"] = str(self.swap)
        return edits

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(library(), name)(str(self.region).encode(), *arguments)
        if code:
            raise OSError(-code, name)

    def counter(self, name: str) -> int:
        """`used`, `peak`, `denied`, `allocations` or `cached`, dead processes left out."""
        library().gpushare_region_reap(str(self.region).encode())
        place = ("used", "peak", "denied", "allocations", "cached").index(name)
        at = _HEADER + _UUID + 24 * 8 + place * 8
        return int.from_bytes(self.region.read_bytes()[at : at + 8], "little")

    def suspend(self, keep: int = 0) -> None:
        """Asks the share's programs to leave the GPU, but for `keep` bytes."""
        self._call("gpushare_region_suspend", ctypes.c_uint64(keep))

    def resume(self) -> None:
        self._call("gpushare_region_resume")

    def slot(self) -> Slot | None:
        """The share's first living process; None before it uses the GPU."""
        with self.region.open("rb") as region:
            content = region.read(64 << 10)
        [size] = struct.unpack_from("<I", content, 20)
        first = _HEADER + _GPUS * _GPU
        for at in range(first, min(first + 64 * size, len(content) - size), size):
            found = Slot(
                *struct.unpack_from("<i", content, at),
                *struct.unpack_from("<IIII6Q", content, at + 16 + 8 * _GPUS),
            )
            if found.pid and Path(f"/proc/{found.pid}").exists():
                return found
        return None

    def until(self, phase: int, patience: float = 60.0) -> Slot:
        """Waits until the process is in a phase; raises when it fails on the way there."""
        end = time.monotonic() + patience
        while (slot := self.slot()) is None or slot.phase != phase:
            if slot and slot.failure:
                raise RuntimeError(f"the move failed: {FAILURES[slot.failure]} ({slot})")
            if time.monotonic() > end:
                raise TimeoutError(f"the process did not come to phase {phase}: {slot}")
            time.sleep(0.0005)
        return slot


@contextmanager
def guarded(
    uuid: str,
    limit: int,
    context: int,
    *,
    page: GpuPage | None = None,
    slot: int = 0,
    flags: int = 0,
    swap: Path | None = None,
) -> Iterator[Share]:
    """A region on one GPU; `context` is what one context costs there, in bytes."""
    with tempfile.TemporaryDirectory(prefix="gpushare-bench-") as folder:
        region = Path(folder) / "region"
        share = Share(region, limit, context, page.folder if page else None, swap)
        grant = _Grant(uuid.encode(), limit, context, slot + 1 if page else 0)
        code = library().gpushare_region_create(str(region).encode(), ctypes.byref(grant), 1)
        if code:
            raise OSError(-code, "the region could not be made")
        if flags:
            share._call("gpushare_region_set_flags", ctypes.c_uint32(flags))  # noqa: SLF001
        yield share
