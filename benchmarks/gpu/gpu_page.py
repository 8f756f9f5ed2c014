# SPDX-License-Identifier: Apache-2.0
"""A GPU page for benchmarks: share slots whose policy changes while programs run."""

import ctypes
import struct
from dataclasses import dataclass
from pathlib import Path

LOW, NORMAL, HIGH = 0, 1, 2
FULL = 10000  # compute is counted in basis points
_COUNTERS = (  # of struct gs_share_slot in native/guard/share/gpu_page.h, from byte 192 on
    "wanted_ns", "open_ns", "overrun_ns", "busy_ns", "waits", "waited_ns", "fences", "longest_ns",
    "raises", "raised_ns", "grace_ns", "stuck", "floors", "launches",
    "slice_us",
)  # fmt: skip
_AT = 192


class _Policy(ctypes.Structure):
    _fields_ = [
        ("share", ctypes.c_char * 16),
        ("rank", ctypes.c_uint32),
        ("limit", ctypes.c_uint32),
        ("request", ctypes.c_uint32),
        ("quantum_us", ctypes.c_uint32),
        ("floor", ctypes.c_uint32),
        ("grace_us", ctypes.c_uint32),
        ("slice_us", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 5),
    ]


@dataclass(frozen=True)
class Policy:
    """Basis points and microseconds, as in native/guard/share/gpu_page.h."""

    rank: int = NORMAL
    limit: int = FULL
    request: int = 0
    quantum_us: int = 150
    floor: int = 200
    grace_us: int = 0
    slice_us: int = 0


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
        share = f"bench-{number}".encode()
        words = _Policy(share, policy.rank, policy.limit, policy.request, policy.quantum_us)
        words.floor, words.grace_us, words.slice_us = (
            policy.floor,
            policy.grace_us,
            policy.slice_us,
        )
        code = self.guard.gpushare_gpu_page_set_share(
            str(self.path).encode(), ctypes.c_uint(number), ctypes.byref(words)
        )
        if code:
            raise OSError(-code, "the share slot could not be set")

    def counters(self, number: int) -> dict[str, int]:
        content = self.path.read_bytes()
        header, slot = struct.unpack_from("<II", content, 12)
        values = struct.unpack_from(f"<{len(_COUNTERS)}Q", content, header + number * slot + _AT)
        return dict(zip(_COUNTERS, values, strict=True))
