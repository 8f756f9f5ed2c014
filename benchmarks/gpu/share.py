# SPDX-License-Identifier: Apache-2.0
"""A share made of nothing but a region: what the guard alone does, without a daemon."""

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .gpu_page import GpuPage
from .layout import layout
from .machine import GUARD, NATIVE

PROBE = NATIVE / "probe" / "gpushare-probe"
MOVABLE, AHEAD = layout.Flag
RUNS, LEAVES, AWAY, RETURNS = layout.Phase
_SLOTS = 64  # as many as are read: no benchmark has more processes in a share


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
        """`used`, `peak`, `denied` or `allocations`; what dead processes used is left out."""
        if name == "used":
            return sum(slot.charged[0] for slot in self._slots())
        at = layout.GsRegion.gpu.offset + getattr(layout.GsRegionGpu, name).offset
        return int.from_bytes(self.region.read_bytes()[at : at + 8], "little")

    def suspend(self, keep: int = 0) -> None:
        """Asks the share's programs to leave the GPU, but for `keep` bytes."""
        self._call("gpushare_region_suspend", ctypes.c_uint64(keep))

    def resume(self) -> None:
        self._call("gpushare_region_resume")

    def slot(self) -> Any | None:
        """The share's first living process (GsRegionSlot); None before it uses the GPU."""
        return next(self._slots(), None)

    def _slots(self) -> Iterator[Any]:
        """Of living processes."""
        first, size = layout.GsRegion.slot.offset, ctypes.sizeof(layout.GsRegionSlot)
        with self.region.open("rb") as region:
            content = region.read(first + _SLOTS * size)
        slots = (layout.GsRegionSlot * _SLOTS).from_buffer_copy(content, first)
        return (slot for slot in slots if slot.pid and Path(f"/proc/{slot.pid}").exists())

    def until(self, phase: int, patience: float = 60.0) -> Any:
        """Waits until the process is in a phase; raises when it fails on the way there."""
        end = time.monotonic() + patience
        while (slot := self.slot()) is None or slot.phase != phase:
            if slot and slot.failure:
                raise RuntimeError(
                    f"the move of {slot.pid} failed: {layout.Failure(slot.failure)!r}"
                )
            if time.monotonic() > end:
                raise TimeoutError(f"no process came to {layout.Phase(phase)!r}")
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
        grant = layout.GpushareGrant(uuid.encode(), limit, context, slot + 1 if page else 0)
        code = library().gpushare_region_create(str(region).encode(), ctypes.byref(grant), 1)
        if code:
            raise OSError(-code, "the region could not be made")
        if flags:
            share._call("gpushare_region_set_flags", ctypes.c_uint32(flags))  # noqa: SLF001
        yield share
