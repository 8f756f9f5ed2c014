# SPDX-License-Identifier: Apache-2.0
"""A share made of nothing but a region: what the guard alone does, without a daemon."""

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(os.environ.get("GPUSHARE_NATIVE", Path(__file__).parents[2] / "native" / "build"))
GUARD = NATIVE / "guard" / "libgpushare.so"
PROBE = NATIVE / "probe" / "gpushare-probe"
_GPU, _HEADER, _UUID = 512, 512, 64  # sizes in native/guard/region.h


class _Grant(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * _UUID),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("seat", ctypes.c_uint64),
    ]


@dataclass(frozen=True)
class Share:
    region: Path
    limit: int
    context: int

    def environment(self, **more: str) -> dict[str, str]:
        edits = {"LD_PRELOAD": str(GUARD), "GPUSHARE_REGION": str(self.region)}
        return {**os.environ, **edits, **more}

    def counter(self, name: str) -> int:
        """`used`, `peak`, `denied` or `allocations` of the share's GPU, dead processes left out."""
        ctypes.CDLL(str(GUARD)).gpushare_region_reap(str(self.region).encode())
        place = ("used", "peak", "denied", "allocations").index(name)
        at = _HEADER + _UUID + 24 * 8 + place * 8
        return int.from_bytes(self.region.read_bytes()[at : at + 8], "little")


@contextmanager
def guarded(uuid: str, limit: int, context: int) -> Iterator[Share]:
    """A region on one GPU; `context` is what one context costs there, in bytes."""
    library = ctypes.CDLL(str(GUARD))
    with tempfile.TemporaryDirectory(prefix="gpushare-bench-") as folder:
        region = Path(folder) / "region"
        grant = _Grant(uuid.encode(), limit, context)
        code = library.gpushare_region_create(str(region).encode(), ctypes.byref(grant), 1)
        if code:
            raise OSError(-code, "the region could not be made")
        yield Share(region, limit, context)
