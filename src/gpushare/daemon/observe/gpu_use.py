# SPDX-License-Identifier: Apache-2.0
"""Which processes of shares the driver sees on which GPU, compared with what guards count.

Model: the driver lists the processes on each GPU with their memory. A share has its processes, and
its guard counts some of them. What the driver lists and no guard counts has escaped; so has memory
above the limit, and a process on a GPU that none of its shares has.

Invariants:
- The driver was asked before the regions were read. A guard counts a process before the driver does
  (native/guard/share/region.h), so a process that is listed and has no slot was never counted.
- Nothing is concluded from what is unknown, such as a driver that gives no memory per process.
- Contexts and code cost a little more than the guard charges: `TOLERANCE` for each process.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gpushare.mechanisms.mechanism import Observation
from gpushare.model.escape import EscapeCause, EscapeKind
from gpushare.model.gpu import ComputeMode, Gpu, GpuProcess
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Enforcement, Level, Share
from gpushare.model.spec import GpuGrant
from gpushare.model.units import MIB, Bytes

# The code of a large framework takes 100 MiB that no call reports (H200, driver 580).
TOLERANCE = Bytes(256 * MIB)


@dataclass(frozen=True)
class ShareUse:
    """A share at one look. `pids`: its processes."""

    share: Share
    stack: Sequence[Promise]
    observed: Observation
    pids: Collection[int]

    @cached_property
    def grants(self) -> tuple[GpuGrant, ...]:
        return self.share.decision.grants if self.share.decision else ()

    @cached_property
    def gpus(self) -> frozenset[GpuId]:
        return frozenset(grant.gpu for grant in self.grants)

    @property
    def promised(self) -> Enforcement:
        return self.share.decision.enforcement if self.share.decision else Enforcement()

    @property
    def guarded(self) -> bool:
        """Whether its programs are expected to have a guard."""
        return any(promise.preloaded for promise in self.stack)


class GpuUse:
    """All shares at one look. `listed`: the driver's processes per GPU; a GPU without an entry is
    one of which nothing is known."""

    def __init__(
        self,
        gpus: Sequence[Gpu],
        listed: Mapping[GpuId, Sequence[GpuProcess]],
        shares: Sequence[ShareUse],
    ) -> None:
        self._listed = {
            gpu: {process.pid: process for process in there} for gpu, there in listed.items()
        }
        self._on: dict[int, list[GpuId]] = {}
        for gpu, there in self._listed.items():
            for pid in there:
                self._on.setdefault(pid, []).append(gpu)
        self._parents = {gpu.uuid: gpu.parent for gpu in gpus}
        self._modes = {gpu.uuid: gpu.compute_mode for gpu in gpus}
        self._counted = {pid for use in shares for pid in use.observed.counted}
        self._reach: dict[int, frozenset[GpuId]] = {}
        for use in shares:
            for pid in use.pids:
                self._reach[pid] = self._reach.get(pid, frozenset()) | use.gpus

    def known(self, use: ShareUse) -> bool:
        """Whether the driver says who is on each of the share's GPUs."""
        return use.gpus <= self._listed.keys()

    def memory(self, use: ShareUse) -> dict[GpuId, Bytes | None]:
        """What the driver counts for the share's processes, also on GPUs that are not the share's;
        None: unknown."""
        own = {gpu: _sum(self._own(use, gpu)) for gpu in use.gpus & self._listed.keys()}
        others = {gpu: _sum(there) for gpu, there in self._strays(use)}
        return others | own

    def causes(self, use: ShareUse) -> tuple[EscapeCause, ...]:
        """Everything that shows a limit of the share not to hold."""
        return (
            *self._unguarded(use),
            *self._elsewhere(use),
            *(cause for grant in use.grants for cause in self._over(use, grant)),
            *(
                EscapeCause(kind=EscapeKind.IMPOSSIBLE, gpu=gpu)
                for gpu in sorted(use.gpus & set(use.observed.impossible))
            ),
            *self._unlocked(use),
        )

    def _unlocked(self, use: ShareUse) -> Iterator[EscapeCause]:
        """Only the compute mode enforces that a share has its GPUs alone."""
        alone = any(promise.alone for promise in use.stack)
        if not alone or use.promised.memory is not Level.ENFORCED:
            return
        for gpu in sorted(use.gpus & self._modes.keys()):
            if self._modes[gpu] is not ComputeMode.EXCLUSIVE_PROCESS:
                yield EscapeCause(kind=EscapeKind.UNLOCKED, gpu=gpu)

    def _unguarded(self, use: ShareUse) -> Iterator[EscapeCause]:
        if not use.guarded:
            return
        kind = EscapeKind.STALE if use.observed.unreadable else EscapeKind.NO_GUARD
        for gpu in sorted(use.gpus & self._listed.keys()):
            for process in self._own(use, gpu):
                # A share may be inside another one, whose guard counts the process.
                if process.pid not in self._counted:
                    yield EscapeCause(kind=kind, gpu=gpu, pid=process.pid, memory=process.memory)

    def _elsewhere(self, use: ShareUse) -> Iterator[EscapeCause]:
        for gpu, processes in self._strays(use):
            for process in processes:
                yield EscapeCause(
                    kind=EscapeKind.OTHER_GPU, gpu=gpu, pid=process.pid, memory=process.memory
                )

    def _strays(self, use: ShareUse) -> Iterator[tuple[GpuId, list[GpuProcess]]]:
        """Its processes on GPUs that none of their shares has."""
        # The driver lists a process on a MIG instance for the whole GPU too.
        parents = {self._parents.get(gpu) for gpu in use.gpus}
        astray: dict[GpuId, list[GpuProcess]] = {}
        for pid in sorted(use.pids):
            for gpu in self._on.get(pid, ()):
                process = self._listed[gpu][pid]
                if gpu not in parents and gpu not in self._reach[pid] and process.memory != 0:
                    astray.setdefault(gpu, []).append(process)
        yield from astray.items()

    def _over(self, use: ShareUse, grant: GpuGrant) -> Iterator[EscapeCause]:
        own = self._own(use, grant.gpu)
        memory = _sum(own)
        allowed = max(grant.limit, use.share.kept.get(grant.gpu, Bytes(0)))
        if memory is not None and memory > allowed + TOLERANCE * max(1, len(own)):
            yield EscapeCause(kind=EscapeKind.OVER_LIMIT, gpu=grant.gpu, memory=memory)

    def _own(self, use: ShareUse, gpu: GpuId) -> list[GpuProcess]:
        """The share's processes on the GPU, without those that another share's guard counts."""
        own, here = set(use.observed.counted), self._listed.get(gpu, {})
        return [
            here[pid]
            for pid in sorted(use.pids)
            if pid in here and (pid in own or pid not in self._counted)
        ]


def _sum(processes: Sequence[GpuProcess]) -> Bytes | None:
    known = [process.memory for process in processes if process.memory is not None]
    return Bytes(sum(known)) if len(known) == len(processes) else None
