# SPDX-License-Identifier: Apache-2.0
"""A share's region: made and tended by the daemon, counted in by the guard of every process.

Reading takes no lock: the file belongs to the share's user, and the daemon must not wait for, or be
taken down by, what a tenant does to it.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from enum import IntEnum, IntFlag, unique
from pathlib import Path
from typing import TypeVar

from gpushare.model.errors import NoSuchGpuError, RegionCorruptError
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes
from gpushare.model.value import Value

from . import layout
from .native import library

_TRIES = 100
_Choice = TypeVar("_Choice", bound=IntEnum)


class RegionGrant(Value):
    """One GPU of a share; `context` is what one process' first context on it costs. In bytes."""

    uuid: GpuId
    limit: Bytes
    context: Bytes = Bytes(0)
    seat: int | None = None  # on the GPU's board


class RegionGpu(Value):
    """What the share has and had on one GPU, in bytes; `denied` counts refused allocations.

    `cached`: of `used`, what programs freed and the guard keeps for them.
    """

    uuid: GpuId
    limit: Bytes
    context: Bytes
    used: Bytes
    peak: Bytes
    denied: int
    allocations: int
    cached: Bytes = Bytes(0)
    seat: int | None = None


@unique
class Phase(IntEnum):
    """Where a process is on its way off the GPU and back (enum gs_phase)."""

    RUNS = 0
    LEAVES = 1
    AWAY = 2
    RETURNS = 3


@unique
class Failure(IntEnum):
    """Why the newest suspend or resume of a process failed (enum gs_failure)."""

    NONE = 0
    FIXED = 1
    HOST_MEMORY = 2
    GPU_MEMORY = 3
    DRIVER = 4


@unique
class Flag(IntFlag):
    """What the guard shall do with memory (enum gs_region_flag)."""

    MOVABLE = 1
    AHEAD = 2


class RegionSlot(Value):
    """A process that uses CUDA under the guard. `started`: clock ticks since boot, as in /proc.

    `fixed`: see `why_fixed`. `seen`: the newest `halt` that it has obeyed or refused. Bytes:
    `movable` can leave the GPU, `away` have left it, `host` are ready or in use for that, `moved`
    were copied by the newest move. `out_ns`, `in_ns`: how long the newest moves took.
    """

    pid: int
    started: int
    pid_namespace: int
    charged: dict[GpuId, Bytes]
    phase: Phase = Phase.RUNS
    fixed: int = 0
    failure: Failure = Failure.NONE
    seen: int = 0
    away: Bytes = Bytes(0)
    host: Bytes = Bytes(0)
    moved: Bytes = Bytes(0)
    out_ns: int = 0
    in_ns: int = 0
    movable: Bytes = Bytes(0)


class RegionSnapshot(Value):
    """`unlisted`: allocations and contexts on GPUs that are not in the region. `unhooked`: CUDA
    entry points that programs got in a version which the guard does not know. `halt`: odd while
    the share shall be off the GPU."""

    gpus: tuple[RegionGpu, ...]
    slots: tuple[RegionSlot, ...]
    unlisted: int
    unhooked: int
    flags: Flag = Flag(0)
    halt: int = 0


_FIXED = (
    "it uses managed memory",
    "it allocates from stream-ordered pools",
    "it uses CUDA arrays",
    "it has graphs that allocate",
    "it maps memory by itself (cuMemCreate)",
    "it shows memory to another process (IPC)",
    "it uses another process' memory (IPC)",
    "it allocated memory past the guard's blocks",
)


def why_fixed(bits: int) -> tuple[str, ...]:
    """A sentence for each reason why memory cannot be moved (enum gs_fixed)."""
    return tuple(text for bit, text in enumerate(_FIXED) if bits >> bit & 1)


_ROOTS = 0b1100001  # managed, shown to another process, another process'


def why_rooted(bits: int) -> tuple[str, ...]:
    """A sentence for each reason why the driver cannot move it to another GPU either."""
    return why_fixed(bits & _ROOTS)


class Region:
    """A region by its path. Nothing is held open between calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, gpus: Sequence[RegionGrant]) -> "Region":
        """Make the file (mode 0600), replacing one that is there; raises OSError as open() does."""
        grants = (layout.Grant * len(gpus))(*(_grant(gpu) for gpu in gpus))
        result = library().gpushare_region_create(os.fsencode(path), grants, len(gpus))
        if result < 0:
            raise OSError(-result, os.strerror(-result), str(path))
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Region":
        """Raises RegionCorruptError for a file that is no region, OSError as open() does."""
        region = cls(path)
        region._read()
        return region

    def set_limit(self, gpu: GpuId, limit: Bytes) -> None:
        """Takes effect at the next allocation; what is allocated already stays."""
        result = library().gpushare_region_set_limit(os.fsencode(self.path), gpu.encode(), limit)
        if result == -errno.ENODEV:
            raise NoSuchGpuError(f"the region {self.path} has no GPU {gpu}")
        self._check(result)

    def set_flags(self, flags: Flag) -> None:
        """For processes that start from now on."""
        self._check(library().gpushare_region_set_flags(os.fsencode(self.path), flags))

    def suspend(self, keep: Bytes) -> None:
        """Ask every process to leave the GPU, all but `keep` bytes on each; slots tell when."""
        self._check(library().gpushare_region_suspend(os.fsencode(self.path), keep))

    def resume(self) -> None:
        """Ask every process to come back."""
        self._check(library().gpushare_region_resume(os.fsencode(self.path)))

    def move(self, number: int, to: RegionGrant) -> None:
        """What stands for the region's GPU `number` stands for another GPU from now on.

        While no program of the share can use a GPU. Charges stay with the number. NoSuchGpuError.
        """
        grant = _grant(to)
        path = os.fsencode(self.path)
        result = library().gpushare_region_move(path, number, ctypes.byref(grant))
        if result == -errno.ENODEV:
            raise NoSuchGpuError(f"the region {self.path} has no GPU number {number}")
        self._check(result)

    def reap(self) -> int:
        """Free the slots of dead processes; how many there were."""
        return self._check(library().gpushare_region_reap(os.fsencode(self.path)))

    def limits(self) -> dict[GpuId, Bytes]:
        """Memory limits by GPU; reads nothing else."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            head, size = os.pread(fd, layout.Region.slot.offset, 0), os.fstat(fd).st_size
        finally:
            os.close(fd)
        _check_head(head, size, self.path)
        count = layout.Header.from_buffer_copy(head).gpu_count
        gpus = (layout.Gpu * count).from_buffer_copy(head, layout.Region.gpu.offset)
        return {GpuId(gpu.uuid.decode(errors="replace")): Bytes(gpu.limit) for gpu in gpus}

    def snapshot(self) -> RegionSnapshot:
        """Counters and processes at one moment."""
        raw = self._read()
        count = raw.header.gpu_count
        uuids = [GpuId(raw.gpu[index].uuid.decode(errors="replace")) for index in range(count)]
        return RegionSnapshot(
            gpus=tuple(_gpu(raw.gpu[index], uuid) for index, uuid in enumerate(uuids)),
            slots=tuple(
                _slot(slot, uuids) for slot in raw.slot[: raw.header.slots_high] if slot.pid
            ),
            unlisted=raw.header.unlisted,
            unhooked=raw.header.unhooked,
            flags=Flag(raw.header.flags & sum(Flag)),
            halt=raw.header.suspend,
        )

    def close(self) -> None:
        """Remove the file; processes that have it mapped keep their copy."""
        self.path.unlink(missing_ok=True)

    def _check(self, result: int) -> int:
        if result == -errno.EBADMSG:
            raise _corrupt(self.path, "it has not the layout of this version")
        if result == -errno.ETIMEDOUT:
            raise _corrupt(self.path, "a process of the share holds its lock and does not let go")
        if result < 0:
            raise OSError(-result, os.strerror(-result), str(self.path))
        return result

    def _read(self) -> layout.Region:
        """A copy in which no writer was half done, unless one died there or writers never pause."""
        # Without O_NONBLOCK a named pipe put in the file's place would hold the reader for ever.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            for _ in range(_TRIES):
                raw = _copy(fd, self.path)
                before = raw.header.sequence
                if before % 2 == 0 and _sequence(fd) == before:
                    break
            return raw
        finally:
            os.close(fd)


def _copy(fd: int, path: Path) -> layout.Region:
    raw = layout.Region()
    head = os.pread(fd, layout.Region.slot.offset, 0)
    _check_head(head, os.fstat(fd).st_size, path)
    ctypes.memmove(ctypes.byref(raw), head, len(head))
    slots = os.pread(fd, raw.header.slots_high * ctypes.sizeof(layout.Slot), len(head))
    ctypes.memmove(ctypes.byref(raw, len(head)), slots, len(slots))
    return raw


def _check_head(head: bytes, size: int, path: Path) -> None:
    if size != ctypes.sizeof(layout.Region) or len(head) != layout.Region.slot.offset:
        raise _corrupt(path, f"it has {size} bytes, not {ctypes.sizeof(layout.Region)}")
    header = layout.Header.from_buffer_copy(head)
    if header.magic != layout.MAGIC:
        raise _corrupt(path, "it does not begin as a region does")
    if header.version != layout.VERSION:
        raise _corrupt(path, f"it has version {header.version}, not {layout.VERSION}")
    shape = (header.header_size, header.gpu_size, header.slot_size, header.slot_count)
    ours = (
        layout.Region.gpu.offset,
        *map(ctypes.sizeof, (layout.Gpu, layout.Slot)),
        layout.MAX_SLOTS,
    )
    if shape != ours or header.gpu_count > layout.MAX_GPUS or header.slots_high > layout.MAX_SLOTS:
        raise _corrupt(path, "its sizes are not those of this version")


def _sequence(fd: int) -> int:
    return int.from_bytes(os.pread(fd, 8, layout.Header.sequence.offset), "little")


def _gpu(raw: layout.Gpu, uuid: GpuId) -> RegionGpu:
    return RegionGpu(
        uuid=uuid,
        limit=raw.limit,
        context=raw.context,
        used=raw.used,
        peak=raw.peak,
        denied=raw.denied,
        allocations=raw.allocations,
        cached=raw.cached,
        seat=raw.share_slot - 1 if 0 < raw.share_slot <= layout.MAX_SEATS else None,
    )


def _grant(gpu: RegionGrant) -> layout.Grant:
    seat = 0 if gpu.seat is None else gpu.seat + 1
    return layout.Grant(gpu.uuid.encode(), gpu.limit, gpu.context, seat)


def _slot(raw: layout.Slot, uuids: Sequence[GpuId]) -> RegionSlot:
    return RegionSlot(
        pid=raw.pid,
        started=raw.start,
        pid_namespace=raw.pid_namespace,
        charged={uuid: Bytes(raw.charged[index]) for index, uuid in enumerate(uuids)},
        phase=_member(Phase, raw.phase),
        fixed=raw.unmovable,
        failure=_member(Failure, raw.failure),
        seen=raw.suspend_seen,
        away=raw.away,
        host=raw.host,
        moved=raw.moved,
        out_ns=raw.out_ns,
        in_ns=raw.in_ns,
        movable=raw.movable,
    )


def _member(kind: type[_Choice], value: int) -> _Choice:
    """The file is the tenant's to write: what no guard writes counts as the first."""
    return kind(value) if value in list(kind) else next(iter(kind))


def _corrupt(path: Path, because: str) -> RegionCorruptError:
    return RegionCorruptError(
        f"{path} is no region", because, "gpushare rm the share and run it again"
    )
