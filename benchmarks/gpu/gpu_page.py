# SPDX-License-Identifier: Apache-2.0
"""A GPU page for benchmarks: share slots whose policy changes while programs run."""

import ctypes
from dataclasses import asdict, dataclass
from pathlib import Path

from .layout import layout

LOW, NORMAL, HIGH = layout.Rank
FULL = layout.FULL  # compute is counted in basis points
_COUNTERS = [
    name
    for name in layout.GsShareSlotNumbers.__dataclass_fields__
    if getattr(layout.GsShareSlot, name).offset >= layout.GsShareSlot.wanted_ns.offset
]


@dataclass(frozen=True)
class Policy:
    """Basis points and microseconds, as in native/guard/share/gpu_page.h."""

    rank: int = NORMAL
    limit: int = FULL
    request: int = 0
    quantum_us: int = 150
    minimum: int = 200
    grace_us: int = 0
    timeslice_us: int = 0


@dataclass(frozen=True)
class GpuPage:
    folder: Path
    uuid: str
    guard: ctypes.CDLL

    @classmethod
    def create(cls, folder: Path, uuid: str, guard: ctypes.CDLL) -> "GpuPage":
        folder.mkdir(exist_ok=True)
        page = cls(folder, uuid, guard)
        code = guard.gpushare_gpu_page_create(str(page.path).encode(), uuid.encode())
        if code:
            raise OSError(-code, "the GPU page could not be created")
        return page

    @property
    def path(self) -> Path:
        return self.folder / self.uuid

    def set_share(self, number: int, policy: Policy) -> None:
        raw = layout.GsSharePolicy(share=f"bench-{number}".encode(), **asdict(policy))
        code = self.guard.gpushare_gpu_page_set_share(
            str(self.path).encode(), ctypes.c_uint(number), ctypes.byref(raw)
        )
        if code:
            raise OSError(-code, "the share slot could not be set")

    def counters(self, number: int) -> dict[str, int]:
        """What the share slot counts, by the names of gpu_page.h."""
        slot = layout.GsGpuPage.from_buffer_copy(self.path.read_bytes()).share_slot[number]
        return {name: getattr(slot, name) for name in _COUNTERS}
