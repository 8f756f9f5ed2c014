# SPDX-License-Identifier: Apache-2.0
"""Everything of the machine that the daemon uses, in one value."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from signal import Signals
from typing import Protocol

from gpushare.hardware.linux.census import Census
from gpushare.hardware.linux.residents import Residents
from gpushare.hardware.ports import Cgroups, Checkpoints, Clock, Gpus, Processes
from gpushare.mechanisms.guard.living_shares import LivingShare
from gpushare.mechanisms.leftovers import KnownShares
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu, GpuProcess, Machine
from gpushare.model.ids import GpuId
from gpushare.model.leftover import Leftover
from gpushare.model.operations.scrub import ScrubReport
from gpushare.model.share import ProcessRef, Share, Verification
from gpushare.model.units import Bytes


class Prober(Protocol):
    """Tries to break a share's limits; `fill` also measures, when no other program is disturbed."""

    def __call__(self, share: Share, edits: Edits, *, fill: bool) -> Verification: ...

    def scrub(self, gpu: GpuId, size: Bytes) -> ScrubReport:
        """Fill so much free memory of the GPU with zeros and read it back."""
        ...

    def contexts(self) -> dict[GpuId, tuple[str, Bytes]]:
        """Driver and bytes of one CUDA context, for every GPU where it could be measured."""
        ...


class LeftoverFinder(Protocol):
    """Leftovers of shares that no longer exist; see `mechanisms.leftovers`."""

    @property
    def mps_folder(self) -> Path:
        """Where the folders of our MPS daemons are, one per GPU."""
        ...

    def homes(self) -> set[str]:
        """GPUs with such a folder."""
        ...

    def find(self, shares: KnownShares) -> list[Leftover]:
        """What remains of shares that are not among the living."""
        ...

    def remove(self, leftover: Leftover, shares: KnownShares) -> str:
        """Why it cannot be removed; "" when it is gone."""
        ...


@dataclass(frozen=True)
class HostPorts:
    """`machine` looks at all of it, given what one CUDA context costs per GPU.

    `listed` are a GPU's processes as the driver lists them (None: it does not, or their pids mean
    other processes here), `outside` the programs among them without those with the given pids;
    `busy` the pids that used a GPU since a time (None: unknown). `signal` sends one through a
    pidfd. `boot` is the kernel's boot id, `host_memory` the bytes that suspended shares may
    have together. `not_cleared`: why the driver does not clear freed memory; "": it does.
    have together. `living_shares`: those with programs, whether the state knows them or not.
    """

    gpus: Gpus
    processes: Processes
    census: Callable[[], Census]
    cgroups: Cgroups
    mechanisms: Mechanisms
    machine: Callable[[Mapping[GpuId, Bytes]], Machine]
    listed: Callable[[Gpu], Sequence[GpuProcess] | None]
    outside: Callable[[Gpu, Collection[int]], Sequence[GpuProcess]]
    busy: Callable[[GpuId, datetime], frozenset[int] | None]
    probe: Prober
    checkpoints: Checkpoints
    residents: Residents
    leftovers: LeftoverFinder
    signal: Callable[[ProcessRef, Signals], None]
    clock: Clock
    boot: str
    host_memory: Bytes
    not_cleared: Callable[[], str] = lambda: ""
    living_shares: Callable[[], Sequence[LivingShare]] = tuple
