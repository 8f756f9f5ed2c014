# SPDX-License-Identifier: Apache-2.0
"""Files of earlier releases whose programs outlive an upgrade of the package.

Regions of versions 1 to 3 with a lock (native/guard/share/former_region.h) are read as regions of
this version, so that what their programs are charged is counted. GPU pages of version 1 are those
of version 2, except that processes are known by pid and start time. A host pool of version 1 is
only measured: its units belong to programs that have it mapped.
"""

import ctypes
import os
from pathlib import Path

from . import layout

_POOL_VERSION = 1
_START = 19  # among the fields of /proc/PID/stat after the name: field 22 of proc(5)
_TRIES = 100
_STORED = 0xFFFFFFFF  # of the number of a namespace


def is_former_region(header: layout.GsRegionHeader) -> bool:
    """Whether the header is that of a region with a lock, its counts within bounds."""
    sizes = (header.header_size, header.gpu_size, header.slot_size, header.slot_count)
    return (
        header.magic == layout.REGION_MAGIC
        and 1 <= header.version <= layout.FORMER_REGION_VERSION
        and sizes
        == (
            layout.GsFormerRegion.gpu.offset,
            ctypes.sizeof(layout.GsFormerRegionGpu),
            ctypes.sizeof(layout.GsFormerRegionSlot),
            layout.REGION_SLOTS,
        )
        and header.gpu_count <= layout.GPUS
        and header.slots_high <= layout.REGION_SLOTS
    )


def former_region(fd: int) -> layout.GsRegion:
    """A copy of one moment, unless programs never pause, in the layout of this version."""
    raw = _copy(fd)
    for _ in range(_TRIES):
        before, raw = raw.header.sequence, _copy(fd)
        # Odd while a program has the lock and changes what it counts.
        if before == raw.header.sequence and not before % 2:
            break
    return _translated(raw)


def _copy(fd: int) -> layout.GsFormerRegion:
    size = ctypes.sizeof(layout.GsFormerRegion)
    data = os.pread(fd, size, 0)
    return layout.GsFormerRegion.from_buffer_copy(data.ljust(size, b"\0"))


def _translated(former: layout.GsFormerRegion) -> layout.GsRegion:
    region = layout.GsRegion()
    _take(region.header, former.header)
    for gpu, its in zip(region.gpu, former.gpu, strict=True):
        _take(gpu, its)
    used = min(former.header.slots_high, layout.REGION_SLOTS)
    for slot, its in zip(region.slot[:used], former.slot[:used], strict=True):
        _take(slot, its, without=("charged", "cached"))
        slot.charged[:] = its.charged[:]
        # It does not say on which GPU; what is shown is the sum over all of them.
        slot.cached[0] = its.cached
    return region


def _take(to: ctypes.Structure, of: ctypes.Structure, without: tuple[str, ...] = ()) -> None:
    """Copy the numbers and names that both have."""
    theirs = {name for name, *_ in of._fields_} - {*without}
    for name, kind, *_ in to._fields_:
        if name in theirs and (kind in _WORDS or name == "uuid"):
            setattr(to, name, getattr(of, name))


_WORDS = (ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int32)


def process_ended(pid: int, namespace: int, start: int) -> bool:
    """Whether a process has ended that is named by pid and start time.

    False for another pid namespace, in which the pid means nothing here.
    """
    if namespace != Path("/proc/self/ns/pid").stat().st_ino & _STORED:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    fields = stat.rpartition(b")")[2].split()
    return fields[0] in {b"Z", b"X"} or int(fields[_START]) != start


def former_pool(folder: Path) -> int | None:
    """The bytes that a host pool of version 1 enables; None: there is no such pool."""
    head = layout.GsSwapPoolHeader
    try:
        with (folder / "table").open("rb") as table:
            data = table.read(ctypes.sizeof(head))
    except OSError:
        return None
    if len(data) < ctypes.sizeof(head):
        return None
    header = head.from_buffer_copy(data)
    known = (header.magic, header.version) == (layout.SWAP_POOL_MAGIC, _POOL_VERSION)
    return int(header.unit * min(header.count, layout.SWAP_POOL_UNITS)) if known else None
