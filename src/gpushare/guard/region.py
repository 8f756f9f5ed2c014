# SPDX-License-Identifier: Apache-2.0
"""A region: one file per share that holds its limits and counts its memory.

The daemon creates the file and writes the policy: limits per GPU, flags, and whether the share is
to be suspended. The guard in each process of the share maps it, charges memory against the limits
and reports in its region slot (native/guard/share/region.h; layout.py mirrors the layout).

- `used` of a GPU is the sum of what its slots have charged there; `cached` is part of it.
- `suspend` grows by one with every change: odd means leave the GPU, even means run. A process has
  reacted to the newest change when its `suspend_seen` is the same number.
- Limits change at the next allocation; what is allocated stays.
- The file belongs to the share's user, who can write anything to it. The daemon reads and writes
  it and never maps it, so that no tenant can block or crash the daemon. There is no lock: every
  word is valid by itself. A sum was true at one moment if nothing changed between two readings;
  after some attempts the daemon takes what it has.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from gpushare.model.errors import NoSuchGpuError, RegionCorruptError
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes
from gpushare.model.value import Value

from . import layout
from .former import former_region, is_former_region
from .layout import Failure, Flag, Phase, Unmovable
from .native import library
from .reader import FileMark
from .shared_file import check, life_ended, opened

# Bounds the time that busy programs can hold up the daemon.
_TRIES = 100
_Choice = TypeVar("_Choice", bound=IntEnum)


class RegionGrant(Value):
    """One GPU of a share, in bytes. `context`: what one process' first context on it costs.

    `share_slot`: the share's number on the GPU page.
    """

    uuid: GpuId
    limit: Bytes
    context: Bytes = Bytes(0)
    share_slot: int | None = None


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
    share_slot: int | None = None


class RegionSlot(Value):
    """A process that uses CUDA under the guard. `started`: clock ticks since boot, as in /proc.

    `pid`: in its own pid namespace. `life`: the number that it locked, unique in the region; 0: it
    could lock none. `lives`: whether that lock is held; None without a number.
    `unmovable`: see `why_unmovable`. `suspend_seen`: the newest `suspend` that it has obeyed or
    refused. Bytes: `movable` can leave the GPU, `away` have left it, `host` are ready or in use for
    that, `moved` were copied by the newest suspend or resume. `out_ns`, `in_ns`: how long the
    newest ones took.
    """

    pid: int
    started: int
    pid_namespace: int
    charged: dict[GpuId, Bytes]
    life: int = 0
    lives: bool | None = None
    phase: Phase = Phase.RUNS
    unmovable: int = 0
    failure: Failure = Failure.NONE
    suspend_seen: int = 0
    away: Bytes = Bytes(0)
    host: Bytes = Bytes(0)
    moved: Bytes = Bytes(0)
    out_ns: int = 0
    in_ns: int = 0
    movable: Bytes = Bytes(0)


class RegionSnapshot(Value):
    """`unlisted`: allocations and contexts on GPUs that are not in the region. `unhooked`: CUDA
    entry points that programs got in a version which the guard does not know. `suspend`: odd while
    the share is to be off the GPU. `former`: it is of an earlier release; no guard of this version
    can join, and `cached` is right as a sum over all GPUs only."""

    gpus: tuple[RegionGpu, ...]
    slots: tuple[RegionSlot, ...]
    unlisted: int
    unhooked: int
    flags: Flag = Flag(0)
    suspend: int = 0
    former: bool = False


_REASONS = {
    Unmovable.MANAGED: "it uses managed memory",
    Unmovable.POOL: "it allocates from stream-ordered pools",
    Unmovable.ARRAY: "it uses CUDA arrays",
    Unmovable.GRAPH: "it has graphs that allocate",
    Unmovable.MAPPED: "it maps memory by itself (cuMemCreate)",
    Unmovable.EXPORTED: "it shows memory to another process (IPC)",
    Unmovable.IMPORTED: "it uses another process' memory (IPC)",
    Unmovable.LEGACY: "it allocated memory past the guard's blocks",
}
_UNMIGRATABLE = Unmovable.MANAGED | Unmovable.EXPORTED | Unmovable.IMPORTED


@lru_cache(maxsize=64)
def why_unmovable(bits: int) -> tuple[str, ...]:
    """A sentence for each reason why memory cannot leave the GPU."""
    return tuple(text for reason, text in _REASONS.items() if bits & reason)


def why_unmigratable(bits: int) -> tuple[str, ...]:
    """A sentence for each reason why the driver cannot move it to another GPU either."""
    return why_unmovable(bits & _UNMIGRATABLE)


class Region:
    """A region by its path. Nothing is held open between calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, gpus: Sequence[RegionGrant]) -> "Region":
        """Make the file (mode 0600), replacing one that is there; raises OSError as open() does."""
        grants = (layout.GpushareGrant * len(gpus))(*(_grant(gpu) for gpu in gpus))
        result = library().gpushare_region_create(os.fsencode(path), grants, len(gpus))
        if result < 0:
            raise OSError(-result, os.strerror(-result), str(path))
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Region":
        """Raises RegionCorruptError for a file that is no region, OSError as open() does."""
        region = cls(path)
        region.limits()
        return region

    def set_limit(self, gpu: GpuId, limit: Bytes) -> None:
        """Takes effect at the next allocation; what is allocated already stays."""
        result = library().gpushare_region_set_limit(os.fsencode(self.path), gpu.encode(), limit)
        if result == -errno.ENODEV:
            raise NoSuchGpuError(f"the region {self.path} has no GPU {gpu}")
        self._check(result)

    def set_peak(self, gpu: GpuId, peak: Bytes) -> None:
        """Forget what a probe had at most; what is in use counts in any case."""
        result = library().gpushare_region_set_peak(os.fsencode(self.path), gpu.encode(), peak)
        if result == -errno.ENODEV:
            raise NoSuchGpuError(f"the region {self.path} has no GPU {gpu}")
        self._check(result)

    def set_flags(self, flags: Flag) -> None:
        """For processes that start from now on."""
        self._check(library().gpushare_region_set_flags(os.fsencode(self.path), flags))

    def suspend(self, keep: Bytes) -> None:
        """Ask every process to leave the GPU, all but `keep` bytes on each; slots show progress."""
        self._check(library().gpushare_region_suspend(os.fsencode(self.path), keep))

    def resume(self) -> None:
        """Ask every process to come back."""
        self._check(library().gpushare_region_resume(os.fsencode(self.path)))

    def move(self, number: int, to: RegionGrant) -> None:
        """Let the region's GPU `number` be another GPU from now on.

        Only while no program of the share can use a GPU. Charges stay with the number. Raises
        NoSuchGpuError.
        """
        grant = _grant(to)
        path = os.fsencode(self.path)
        result = library().gpushare_region_move(path, number, ctypes.byref(grant))
        if result == -errno.ENODEV:
            raise NoSuchGpuError(f"the region {self.path} has no GPU number {number}")
        self._check(result)

    def limits(self) -> dict[GpuId, Bytes]:
        """Memory limits by GPU; reads nothing else."""
        with opened(self.path) as fd:
            # The head alone: `Guard` asks for the limits of every region of a user.
            head, size = os.pread(fd, layout.GsRegion.slot.offset, 0), os.fstat(fd).st_size
        _check_head(head, size, self.path)
        count = layout.GsRegionHeader.from_buffer_copy(head).gpu_count
        gpus = (layout.GsRegionGpu * count).from_buffer_copy(head, layout.GsRegion.gpu.offset)
        return {GpuId(gpu.uuid.decode(errors="replace")): Bytes(gpu.limit) for gpu in gpus}

    def snapshot(self) -> RegionSnapshot:
        """Counters and processes at one moment."""
        with opened(self.path) as fd:
            return self.parse(fd)[0]

    def parse(self, fd: int) -> tuple[RegionSnapshot, FileMark | None]:
        """For `Reader`; without a mark for a region of an earlier release."""
        raw = self._consistent(fd)
        used = [slot for slot in raw.slot[: raw.header.slots_high] if slot.pid]
        living = [not life_ended(fd, life) if (life := _life(slot)) else None for slot in used]
        former = is_former_region(raw.header)
        return _snapshot(raw, used, living), None if former else _mark(raw, used, living)

    def close(self) -> None:
        """Remove the file; processes that have it mapped keep their copy."""
        self.path.unlink(missing_ok=True)

    def _check(self, result: int) -> None:
        check(result, self.path, _corrupt)

    def _consistent(self, fd: int) -> layout.GsRegion:
        """A copy of one moment, unless programs never pause."""
        raw = _copy(fd, self.path)
        for _ in range(_TRIES):
            earlier, raw = raw, _copy(fd, self.path)
            if _changes(raw) == _changes(earlier):
                break
        return raw


def _snapshot(
    raw: layout.GsRegion, used: Sequence[layout.GsRegionSlot], living: Sequence[bool | None]
) -> RegionSnapshot:
    count = raw.header.gpu_count
    uuids = [GpuId(raw.gpu[index].uuid.decode(errors="replace")) for index in range(count)]
    slots = raw.slot[: raw.header.slots_high]
    return RegionSnapshot(
        gpus=tuple(_gpu(raw.gpu[at], uuid, at, slots) for at, uuid in enumerate(uuids)),
        slots=tuple(_slot(*each, uuids) for each in zip(used, living, strict=True)),
        unlisted=raw.header.unlisted,
        unhooked=raw.header.unhooked,
        # Bits that this version does not know are dropped: the tenant can set any.
        flags=Flag(raw.header.flags & sum(Flag)),
        suspend=raw.header.suspend,
        former=is_former_region(raw.header),
    )


def _mark(
    raw: layout.GsRegion, used: Sequence[layout.GsRegionSlot], living: Sequence[bool | None]
) -> FileMark:
    end = layout.GsRegion.slot.offset + raw.header.slots_high * ctypes.sizeof(layout.GsRegionSlot)
    lives = zip(map(_life, used), living, strict=True)
    return FileMark(
        size=ctypes.sizeof(layout.GsRegion),
        content=ctypes.string_at(ctypes.addressof(raw), end),
        lives=tuple((life, not lives) for life, lives in lives if lives is not None),
    )


def _copy(fd: int, path: Path) -> layout.GsRegion:
    raw = layout.GsRegion()
    head = os.pread(fd, layout.GsRegion.slot.offset, 0)
    _check_head(head, os.fstat(fd).st_size, path)
    if is_former_region(layout.GsRegionHeader.from_buffer_copy(head)):
        return former_region(fd)
    ctypes.memmove(ctypes.byref(raw), head, len(head))
    # Only the slots that were ever used: the whole table would be read in each pass for each share.
    slots = os.pread(fd, raw.header.slots_high * ctypes.sizeof(layout.GsRegionSlot), len(head))
    ctypes.memmove(ctypes.byref(raw, len(head)), slots, len(slots))
    return raw


def _check_head(head: bytes, size: int, path: Path) -> None:
    # Everything is checked before a count from the file is used to read further: the tenant can
    # write it.
    if _is_former(head, size):
        return
    if size != ctypes.sizeof(layout.GsRegion) or len(head) != layout.GsRegion.slot.offset:
        raise _corrupt(path, f"it has {size} bytes, not {ctypes.sizeof(layout.GsRegion)}")
    header = layout.GsRegionHeader.from_buffer_copy(head)
    if header.magic != layout.REGION_MAGIC:
        raise _corrupt(path, "it does not begin as a region does")
    if header.version != layout.REGION_VERSION:
        raise _corrupt(path, f"it has version {header.version}, not {layout.REGION_VERSION}")
    shape = (header.header_size, header.gpu_size, header.slot_size, header.slot_count)
    ours = (
        layout.GsRegion.gpu.offset,
        *map(ctypes.sizeof, (layout.GsRegionGpu, layout.GsRegionSlot)),
        layout.REGION_SLOTS,
    )
    if shape != ours or header.gpu_count > layout.GPUS or header.slots_high > layout.REGION_SLOTS:
        raise _corrupt(path, "its sizes are not those of this version")


def _is_former(head: bytes, size: int) -> bool:
    whole = (
        size == ctypes.sizeof(layout.GsFormerRegion) and len(head) == layout.GsRegion.slot.offset
    )
    return whole and is_former_region(layout.GsRegionHeader.from_buffer_copy(head))


def _changes(raw: layout.GsRegion) -> list[tuple[int, int]]:
    return [(slot.life, slot.changes) for slot in raw.slot[: raw.header.slots_high]]


def _gpu(
    raw: layout.GsRegionGpu, uuid: GpuId, number: int, slots: Sequence[layout.GsRegionSlot]
) -> RegionGpu:
    used = sum(slot.charged[number] for slot in slots)
    return RegionGpu(
        uuid=uuid,
        limit=raw.limit,
        context=raw.context,
        used=Bytes(used),
        peak=Bytes(max(used, raw.peak)),
        denied=raw.denied,
        allocations=raw.allocations,
        cached=Bytes(sum(slot.cached[number] for slot in slots)),
        # The file has the number plus one, and 0 for none (native/guard/share/region.h).
        share_slot=raw.share_slot - 1 if 0 < raw.share_slot <= layout.SHARE_SLOTS else None,
    )


def _grant(gpu: RegionGrant) -> layout.GpushareGrant:
    slot = 0 if gpu.share_slot is None else gpu.share_slot + 1
    return layout.GpushareGrant(gpu.uuid.encode(), gpu.limit, gpu.context, slot)


def _life(raw: layout.GsRegionSlot) -> int:
    return 0 if raw.life & layout.REGION_NO_LIFE else raw.life


def _slot(raw: layout.GsRegionSlot, lives: bool | None, uuids: Sequence[GpuId]) -> RegionSlot:
    return RegionSlot(
        pid=raw.pid,
        started=raw.start,
        pid_namespace=raw.pid_namespace,
        life=_life(raw),
        lives=lives,
        charged={uuid: Bytes(raw.charged[index]) for index, uuid in enumerate(uuids)},
        phase=_member(Phase, raw.phase),
        unmovable=raw.unmovable,
        failure=_member(Failure, raw.failure),
        suspend_seen=raw.suspend_seen,
        away=raw.away,
        host=raw.host,
        moved=raw.moved,
        out_ns=raw.out_ns,
        in_ns=raw.in_ns,
        movable=raw.movable,
    )


def _member(kind: type[_Choice], value: int) -> _Choice:
    """The tenant can write the file: a value that no guard writes counts as the first."""
    return kind(value) if value in list(kind) else next(iter(kind))


def _corrupt(path: Path, because: str) -> RegionCorruptError:
    return RegionCorruptError(
        f"{path} is no region", because, "gpushare rm SHARE, then run the program again"
    )
