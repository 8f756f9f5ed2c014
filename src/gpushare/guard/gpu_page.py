# SPDX-License-Identifier: Apache-2.0
"""A GPU page: one file per GPU that says which shares may launch work now.

The daemon creates the page and writes one policy per share; the guard in every process on the GPU
maps it and does the rest: it opens and closes gates, gives turns and counts. Each share has a
share slot, each process a process slot (native/guard/share/gpu_page.h states the invariants,
layout.py mirrors the layout).

- The file is writable for every user of the GPU. Its contents are untrusted: nothing read here
  may crash or block the daemon, so it is read as a whole, never mapped, and without a lock.
- A snapshot is therefore no single moment: counters that grow together may be a little apart.
- Counters belong to the share slot and only grow. Freeing the slot sets all of it to zero.
- Changing a policy writes the policy alone. Gates are the guards' to close and open, also those
  that a dead process left closed.
"""

import ctypes
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpushare.model.errors import GpuPageCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.value import Value

from . import layout
from .former import process_ended
from .layout import Rank
from .native import library
from .reader import FileMark
from .shared_file import check, life_ended, opened

FULL_COMPUTE = layout.FULL  # basis points


class SharePolicy(Value):
    """What the daemon allows a share. Compute in basis points, times in microseconds.

    `quantum_us`: low rank, the most GPU time between two fences. `minimum`: low rank, what
    high-priority work leaves it at least. `grace_us`: high rank, the longest pause during which
    gates stay closed; 0: learned. `timeslice_us`: how long its programs have the GPU where contexts
    take turns and a low and a high rank meet; 0: the driver's own.
    """

    share: ShareId
    rank: Rank = Rank.NORMAL
    limit: int = FULL_COMPUTE
    request: int = 0
    quantum_us: int = 150
    minimum: int = 200
    grace_us: int = 0
    timeslice_us: int = 0


@dataclass(frozen=True, kw_only=True)
class ShareSlot(layout.GsShareSlotNumbers):
    """One share on the GPU and what its programs counted; gpu_page.h says what each number is.

    `waiting`: threads that wait for the GPU now. `processes`: living ones that have launched work.
    """

    number: int
    policy: SharePolicy
    waiting: int = 0
    processes: int = 0


class GpuPageSnapshot(Value):
    """`share_slots`: those in use. `turns`: compute is given in turns now. `preempt_bits`: of the
    processes whose high-priority work goes first now."""

    uuid: GpuId
    share_slots: tuple[ShareSlot, ...]
    turns: bool = False
    preempt_bits: int = 0


class GpuPage:
    """A page by its path. Nothing is held open between calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, gpu: GpuId) -> "GpuPage":
        """Make the file, replacing one that is there; raises OSError as open() does."""
        page = cls(path)
        page._check(library().gpushare_gpu_page_create(os.fsencode(path), gpu.encode()))
        return page

    def set_share(self, number: int, policy: SharePolicy | None) -> None:
        """Give the share slot to a share, change the share's policy, or (None) free the slot."""
        raw = layout.GsSharePolicy() if policy is None else _raw(policy)
        path = os.fsencode(self.path)
        self._check(library().gpushare_gpu_page_set_share(path, number, ctypes.byref(raw)))

    def snapshot(self) -> GpuPageSnapshot:
        """Raises GpuPageCorruptError for a file that is no GPU page, OSError as open() does."""
        with opened(self.path) as fd:
            return self.parse(fd)[0]

    def parse(self, fd: int) -> tuple[GpuPageSnapshot, FileMark | None]:
        """For `Reader`; without a mark while processes of an earlier release are on the page."""
        raw = self._copy(fd)
        used = [(process, _ended(fd, process)) for process in _used(raw)]
        snapshot = _snapshot(raw, [process for process, ended in used if not ended])
        if any(process.pid_namespace for process, _ in used):
            return snapshot, None
        lives = tuple((process.life, ended) for process, ended in used)
        return snapshot, FileMark(os.fstat(fd).st_size, bytes(memoryview(raw)), lives)

    def _check(self, result: int) -> None:
        check(result, self.path, _corrupt)

    def _copy(self, fd: int) -> layout.GsGpuPage:
        data = os.pread(fd, ctypes.sizeof(layout.GsGpuPage), 0)
        if len(data) != ctypes.sizeof(layout.GsGpuPage):
            raise _corrupt(self.path, f"it has {len(data)} bytes")
        raw = layout.GsGpuPage.from_buffer_copy(data)
        known = {layout.GPU_PAGE_VERSION, layout.GPU_PAGE_FORMER}
        if raw.header.magic != layout.GPU_PAGE_MAGIC or raw.header.version not in known:
            raise _corrupt(self.path, "it does not begin as a GPU page does")
        return raw


def _snapshot(raw: layout.GsGpuPage, living: Sequence[layout.GsProcessSlot]) -> GpuPageSnapshot:
    waiting = _waiting(living)
    return GpuPageSnapshot(
        uuid=GpuId(raw.header.uuid.decode(errors="replace")),
        share_slots=tuple(
            _share_slot(
                number,
                slot,
                waiting=waiting[number],
                processes=sum(process.share_slot == number for process in living),
            )
            for number, slot in enumerate(raw.share_slot)
            if slot.policy.share
        ),
        turns=bool(raw.header.turns),
        preempt_bits=raw.header.preempt_bits,
    )


_NUMBERS = tuple(layout.GsShareSlotNumbers.__dataclass_fields__)
_POLICY = tuple(name for name in SharePolicy.__struct_fields__ if name not in {"share", "rank"})


def _used(raw: layout.GsGpuPage) -> list[layout.GsProcessSlot]:
    # The bound comes from the file, which any user of the GPU can write.
    used = min(raw.header.process_slots_high, layout.PROCESS_SLOTS)
    return [process for process in raw.process_slot[:used] if process.pid > 0]


def _ended(fd: int, process: layout.GsProcessSlot) -> bool:
    """Those of version 1 name their pid namespace, and when they started."""
    if process.pid_namespace:
        return process_ended(process.pid, process.pid_namespace, process.life)
    return life_ended(fd, process.life)


def _waiting(processes: Sequence[layout.GsProcessSlot]) -> Counter[int]:
    """By share slot."""
    waiting: Counter[int] = Counter()
    for process in processes:
        waiting[process.share_slot] += process.busy
    return waiting


def _share_slot(number: int, raw: layout.GsShareSlot, *, waiting: int, processes: int) -> ShareSlot:
    policy = SharePolicy(
        share=ShareId(raw.policy.share.decode(errors="replace")),
        # Any user of the GPU can write the page: a rank that no daemon writes counts as normal.
        rank=Rank(raw.policy.rank) if raw.policy.rank in list(Rank) else Rank.NORMAL,
        **{name: getattr(raw.policy, name) for name in _POLICY},
    )
    numbers = {name: getattr(raw, name) for name in _NUMBERS}
    return ShareSlot(number=number, policy=policy, waiting=waiting, processes=processes, **numbers)


def _raw(policy: SharePolicy) -> layout.GsSharePolicy:
    settings = {name: getattr(policy, name) for name in _POLICY}
    return layout.GsSharePolicy(share=policy.share.encode(), rank=policy.rank, **settings)


def _corrupt(path: Path, because: str) -> GpuPageCorruptError:
    return GpuPageCorruptError(
        f"{path} is no GPU page", because, "end the programs on that GPU and remove the file"
    )
