# SPDX-License-Identifier: Apache-2.0
"""The doors of this room: what the rest of gpushare may ask of the machine.

Nothing else touches NVML, /proc, control groups or MPS. Every method raises errors of
`model.errors` only; what the machine merely cannot do is a Capability with a reason, not an error.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum, unique
from pathlib import Path
from typing import Protocol

from gpushare.model.gpu import ComputeMode, Gpu
from gpushare.model.ids import GpuId
from gpushare.model.share import ProcessRef
from gpushare.model.units import Bytes, Percent
from gpushare.model.value import Value


class Driver(Value):
    """`version` as the kernel module says (580.159.03); `cuda` as the driver API (13000)."""

    version: str
    cuda: int
    simulated: bool = False

    @property
    def branch(self) -> int:
        """The release branch: 580 for 580.159.03."""
        return int(self.version.split(".", 1)[0] or 0)


class Xid(Value):
    """A critical error the driver reported about a GPU."""

    gpu: GpuId
    code: int


class Gpus(Protocol):
    """What NVML says of the GPUs."""

    def driver(self) -> Driver:
        """Raises NoDriverError, DriverMismatchError."""
        ...

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU and MIG instance with memory, health and processes; a lost GPU stays listed."""
        ...

    def links(self) -> dict[GpuId, dict[GpuId, str]]:
        """How each pair of physical GPUs is joined: NV#, PIX, PXB, PHB, NODE, SYS."""
        ...

    def xids(self, timeout: float) -> tuple[Xid, ...]:
        """Wait up to `timeout` seconds for critical errors; empty when none came."""
        ...


class Activity(Protocol):
    def busy(self, gpu: GpuId, since: datetime) -> frozenset[int] | None:
        """Pids that had the GPU's multiprocessors since then; None: nothing tells."""
        ...


class ComputeModes(Protocol):
    def compute_mode(self, gpu: GpuId) -> ComputeMode: ...

    def set_compute_mode(self, gpu: GpuId, mode: ComputeMode) -> None:
        """Needs root; raises DeniedError without."""
        ...


class MemoryLimit(Value):
    """Device memory limits of one control group on one GPU; None: no limit."""

    soft: Bytes | None = None  # guaranteed
    hard: Bytes | None = None  # never exceeded
    used: Bytes | None = None


class MemoryLimits(Protocol):
    """The driver's own limits per control group (driver 615 and newer)."""

    def limits_reason(self) -> str:
        """Why the driver cannot do this here; empty when it can."""
        ...

    def memory_limit(self, gpu: GpuId, cgroup: str) -> MemoryLimit: ...

    def set_memory_limit(self, gpu: GpuId, cgroup: str, limit: MemoryLimit) -> None:
        """Needs root. A soft limit must be zero before the control group is removed."""
        ...


class Processes(Protocol):
    """Processes that cannot be confused with later ones of the same pid."""

    def find(self, pid: int) -> ProcessRef | None:
        """None: no such process, or a zombie."""
        ...

    def alive(self, process: ProcessRef) -> bool: ...

    def uid(self, process: ProcessRef) -> int | None:
        """Real uid; None when the process is gone."""
        ...

    def open(self, process: ProcessRef) -> int | None:
        """A pidfd that becomes readable when the process ends; None when it is gone already."""
        ...


class HostMemory(Protocol):
    """The machine's own memory, and file systems made of it."""

    def total(self) -> Bytes: ...

    def in_memory(self, path: Path) -> bool:
        """Whether what is written there stays in memory."""
        ...

    def room(self, path: Path) -> Bytes:
        """What can still be written there."""
        ...

    def mount(self, path: Path, size: Bytes) -> bool:
        """Have a file system of memory there, in huge pages where possible; False: refused."""
        ...


class Cgroups(Protocol):
    """The control groups of shares, below one parent that is ours; named by share id."""

    def reason(self) -> str:
        """Why control groups cannot be used here; empty when they can."""
        ...

    def create(self, name: str) -> str:
        """Make the group if it is missing and return its absolute path; raises CgroupError."""
        ...

    def add(self, name: str, pid: int) -> bool:
        """False where the kernel does not let us move the process, or it is gone."""
        ...

    def pids(self, name: str) -> tuple[int, ...]:
        """Who is in the group now; empty when there is no such group."""
        ...

    def remove(self, name: str) -> bool:
        """True when the group is gone; False while processes are in it."""
        ...


class Devices(Protocol):
    """Which GPUs' device nodes the processes of a control group may open."""

    def reason(self) -> str:
        """Why nothing can hold them back here; empty when something can."""
        ...

    def confine(self, name: str, gpus: Collection[GpuId]) -> None:
        """To these GPUs, from now on and for processes that join; raises CgroupError."""
        ...


@unique
class CheckpointState(IntEnum):
    """CUprocessState of cuda.h."""

    RUNNING = 0
    LOCKED = 1
    CHECKPOINTED = 2
    FAILED = 3
    CHECKPOINTING = 4
    RESTORING = 5


class Checkpoints(Protocol):
    """The driver's checkpoint of one process.

    Acts raise NotSuspendableError, MoveTimeoutError, MoveFailedError, UnsupportedError.
    """

    def state(self, pid: int) -> CheckpointState | None:
        """None: the process has nothing to do with CUDA."""
        ...

    def lock(self, pid: int, seconds: float) -> None:
        """Stop it at its next CUDA call and wait until the GPU has done what it was given."""
        ...

    def checkpoint(self, pid: int) -> None: ...

    def remaps(self) -> str:
        """Why programs cannot be restored on other GPUs here; "" when they can."""
        ...

    def restore(self, pid: int, moves: Mapping[GpuId, GpuId] = {}) -> None:
        """`moves`: which GPU takes the place of one it was on; of the same model. None: as it was.

        One that is refused has changed nothing.
        """
        ...

    def unlock(self, pid: int) -> None: ...


@unique
class MpsState(StrEnum):
    INITIALIZING = "INITIALIZING"
    ACTIVE = "ACTIVE"
    FAULT = "FAULT"


class MpsServer(Value):
    """`name` is empty in the v2 dialect; in v3 servers have names."""

    pid: int
    state: MpsState
    name: str = ""


class MpsClient(Value):
    pid: int
    server: int


class MpsPlace(Value):
    """Where a GPU's control daemon lives, and what a client needs to reach it."""

    gpu: GpuId
    pipe: Path
    log: Path


class MpsDefaults(Value):
    """What the next server gives its clients. None: left as it is.

    `threads` in percent of the GPU's SM threads; `memory` in bytes per client;
    `below_normal`: the scheduling hint of CUDA_MPS_CLIENT_PRIORITY=1.
    """

    threads: Percent | None = None
    memory: Bytes | None = None
    below_normal: bool | None = None


class MpsControl(Protocol):
    """A conversation with one control daemon; every call may raise MpsError or MpsStuckError."""

    def servers(self) -> tuple[MpsServer, ...]: ...

    def clients(self) -> tuple[MpsClient, ...]: ...

    def terminate(self, client: MpsClient) -> None:
        """End the client's GPU work in order; its next CUDA call fails, other clients go on."""
        ...

    def set_defaults(self, defaults: MpsDefaults) -> None: ...

    def blame(self) -> tuple[int, ...]:
        """Pids that server.log names as the cause of a fault, oldest first."""
        ...


class Mps(Protocol):
    """MPS control daemons of ours: one per GPU, alive as long as someone holds it."""

    def acquire(self, gpu: GpuId, holder: str) -> MpsPlace:
        """Hold the GPU's daemon, starting it if it does not run; raises MpsError, MpsStuckError."""
        ...

    def release(self, gpu: GpuId, holder: str | None) -> None:
        """Let go of it; after the last holder it and its servers end, by force if need be.

        None lets go of nothing: it only ends a daemon that has no holders.
        """
        ...

    def holders(self) -> dict[GpuId, tuple[str, ...]]:
        """Every GPU with a daemon or holders of ours, those of a predecessor included."""
        ...

    def control(self, gpu: GpuId) -> MpsControl: ...

    def restart(self, gpu: GpuId) -> None:
        """End the daemon, if it lives, and start it anew."""
        ...


class ProbeRun(Value):
    """How a probe ended: its JSON text, or why there is none."""

    report: bytes = b""
    failure: str = ""


class Probe(Protocol):
    def run(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> ProbeRun:
        """Run gpushare-probe to its end as a program of a share would run; GuardMissingError.

        `env` is its whole environment. `cgroup`: the name of the control group it starts in.
        """
        ...
