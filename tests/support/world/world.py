# SPDX-License-Identifier: Apache-2.0
"""A machine that outlives daemons: processes in a /proc of its own, mechanisms that are only noted.

What a daemon did stays in the world when the daemon is dropped at any point, as after a crash.
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.compose import Parts
from gpushare.hardware.linux.census import Censuses
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.linux.residents import Residents
from gpushare.hardware.ports import Driver, Xid
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.mechanism import Observation, PassiveMechanism
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.mechanisms.stack import Mechanisms
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.edits import Edits
from gpushare.model.errors import GpuLostError, GpushareError, MpsStuckError
from gpushare.model.gpu import Capability, Gpu, GpuHealth, GpuProcess, Machine
from gpushare.model.ids import GpuId
from gpushare.model.promise import Claim, Promise
from gpushare.model.share import Level, ProcessRef, Share, Verification
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, Bytes
from gpushare.store import Store
from support.promises import claiming
from support.world.groups import Groups
from support.world.leftovers import WorldLeftovers
from support.world.moves import Checkpoints, Regions

UID = os.geteuid()
HERE = (MechanismName.EXCLUSIVE, MechanismName.TIMESLICE, MechanismName.MPS, MechanismName.GUARD)
PROMISES = {
    MechanismName.EXCLUSIVE: claiming(Exclusive.promise),
    MechanismName.TIMESLICE: claiming(Timeslice.promise),
    MechanismName.MPS: claiming(MpsMechanism.promise),
    MechanismName.GUARD: claiming(Guard.promise, memory=Claim(level=Level.COOPERATIVE)),
}


TURN_SECONDS = 30.0
KEPT = Verification(at=datetime(2026, 11, 23, tzinfo=UTC), ok=True)


class Crash(BaseException):
    """The daemon dies here."""


def crash_at(step: str) -> Callable[[str], None]:
    """What a daemon calls with each step it passes; it dies at this one."""

    def passed(name: str) -> None:
        if name == step:
            raise Crash(step)

    return passed


@dataclass
class WorldClock:
    wall: datetime = datetime(2026, 11, 23, tzinfo=UTC)
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def elapsed(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Nodes:
    """Control groups that keep device nodes shut: the Devices port."""

    confined: dict[str, set[GpuId]] = field(default_factory=dict)

    def reason(self) -> str:
        return ""

    def confine(self, name: str, gpus: Collection[GpuId]) -> None:
        self.confined[name] = set(gpus)


class Recorded(PassiveMechanism):
    """A mechanism whose acts are kept in the world."""

    def __init__(self, world: "World", promise: Promise) -> None:
        self._world, self.promise = world, promise

    def unready(self, gpu: GpuId) -> str:
        return self._world.unready.get((self.promise.mechanism, gpu), "")

    def prepare(self, share: Share, grants) -> Edits:
        self._world.broken()
        if error := self._world.refusing.get(self.promise.mechanism):
            raise error
        self._world.made.add((self.promise.mechanism, share.id))
        if self.promise.mechanism is MechanismName.GUARD:
            self._world.regions.named.setdefault(share.id, share.decision.gpus)
        return Edits(env={"VIA": self.promise.mechanism, "COMPUTE": str(grants[0].compute)})

    def release(self, share: Share) -> None:
        self._world.broken()
        self._world.made.discard((self.promise.mechanism, share.id))
        if self.promise.mechanism is MechanismName.GUARD:
            self._world.regions.named.pop(share.id, None)

    def drain(self, share: Share, pids) -> None:
        self._world.drained.append((share.name, tuple(pids)))

    def suspend(self, share: Share, keep: Bytes) -> None:
        if self.promise.mechanism is MechanismName.GUARD:
            self._world.broken()
            self._world.regions.ask(share.id, away=True, keep=keep)

    def resume(self, share: Share) -> None:
        if self.promise.mechanism is MechanismName.GUARD:
            self._world.broken()
            self._world.regions.ask(share.id, away=False)

    def move(self, share: Share, grants, left) -> None:
        self._world.broken()
        if self.promise.mechanism is MechanismName.GUARD:
            self._world.regions.named[share.id] = tuple(grant.gpu for grant in grants)

    def adjust(self, share: Share, grants) -> None:
        self._world.broken()
        self._world.adjusted.append((self.promise.mechanism, share.name, grants[0].compute))

    def observe(self, share: Share) -> Observation:
        seen = Observation(fault=self._world.fault, pids=self._world.claimed)
        if self.promise.mechanism is not MechanismName.GUARD:
            return seen
        if self._world.unreadable:
            return Observation(unreadable=self._world.unreadable)
        pids = self._world.programs_of(share.id)
        moves = self._world.regions.look(share.id, pids, self._world.clock)
        seen = replace(
            seen,
            pids=(*seen.pids, *pids),
            counted=pids,
            moves=moves,
            share_slots=self._world.share_slots,
        )
        return seen | self._world.counted.get(share.name, Observation())


class Processes(ProcProcesses):
    """As the real ones, but a process here is only a folder: its pidfd is a pipe's end."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.root)
        self._world = world

    def ticks(self) -> int:
        return self._world.tick()

    def open(self, process: ProcessRef) -> int | None:
        if not self.alive(process):
            return None
        return os.dup(self._world.pipes[process.pid][0])


@dataclass
class World(Groups):
    root: Path
    gpus: tuple[Gpu, ...]
    clock: WorldClock = field(default_factory=WorldClock)
    made: set[tuple[MechanismName, str]] = field(default_factory=set)
    drained: list = field(default_factory=list)
    signals: list = field(default_factory=list)
    put_codes: list = field(default_factory=list)  # Xids as `put_xids` sets them
    pipes: dict[int, tuple[int, int]] = field(default_factory=dict)
    fault: str = ""
    unreadable: str = ""  # why no region can be read
    claimed: tuple[int, ...] = ()  # pids that are in a share's region
    trouble: Callable[[], None] = lambda: None
    refusing: dict[MechanismName, GpushareError] = field(default_factory=dict)
    unready: dict[tuple[MechanismName, GpuId], str] = field(default_factory=dict)
    proof: Verification = KEPT
    broken_stacks: dict[MechanismName, Verification] = field(default_factory=dict)  # by base
    probed: list = field(default_factory=list)
    prober: Any = None  # instead of the usual one
    boot: str = "boot-1"
    host_memory: int = 1024 * GIB
    regions: Regions = field(default_factory=Regions)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    adjusted: list = field(default_factory=list)
    share_slots: dict = field(default_factory=dict)
    remains: WorldLeftovers = field(default_factory=WorldLeftovers)
    busy: frozenset[int] | None = None  # pids that NVML has seen use a GPU
    nodes: "Nodes | None" = None  # who may open which GPUs' device nodes; None: all may
    counted: dict[str, Observation] = field(default_factory=dict)  # by a share's guard, by its name
    _started: int = 5000

    def __post_init__(self) -> None:
        self.checkpoints.first = self.region_of

    # The Gpus port.
    def driver(self) -> Driver:
        return Driver(version="580.1", cuda=13000, simulated=True)

    def xids(self, timeout: float) -> tuple[Xid, ...]:
        return ()

    def put_xids(self, gpu: str, codes: tuple[int, ...]) -> None:
        self.put_codes.append((gpu, codes))

    # Processes.
    def tick(self) -> int:
        """Now, as start times count: no process starts at the same time as another."""
        self._started += 1
        return self._started

    def spawn(
        self,
        parent: int = 1,
        environ: Mapping[str, str] = {},
        pid: int = 0,
        uid: int = UID,
        session: int = 0,
    ) -> ProcessRef:
        """A process starts; it is in its parent's control group."""
        started = self.tick()
        pid = pid or started
        folder = self._folder(pid)
        folder.mkdir(parents=True)
        inherited = self._environ(parent) | environ
        rest = " ".join(["0", str(session), *["0"] * 15])
        (folder / "environ").write_text("".join(f"{k}={v}\0" for k, v in inherited.items()))
        (folder / "status").write_text(f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (folder / "stat").write_text(f"{pid} (a (b) c) S {parent} {rest} {started} 0 0")
        self.pipes[pid] = os.pipe()
        for group in self.groups.values():
            if parent in group:
                group.add(pid)
        return ProcessRef(pid=pid, started=started)

    def end(self, process: ProcessRef) -> None:
        """A process ends; its children become init's."""
        for child in (self.root / "proc").iterdir():
            stat = (child / "stat").read_text()
            (child / "stat").write_text(stat.replace(f") S {process.pid} ", ") S 1 "))
        for name in ("environ", "status", "stat"):
            (self._folder(process.pid) / name).unlink()
        self._folder(process.pid).rmdir()
        for group in self.groups.values():
            group.discard(process.pid)
        for descriptor in self.pipes.pop(process.pid):
            os.close(descriptor)

    def enter(self, process: ProcessRef, env: Mapping[str, str]) -> None:
        """The process becomes a program with this environment."""
        text = "".join(f"{key}={value}\0" for key, value in env.items())
        (self._folder(process.pid) / "environ").write_text(text)

    def programs_of(self, share: str) -> tuple[int, ...]:
        """Living programs that carry the share's mark."""
        mark = {"GPUSHARE_SHARE": share}
        return tuple(pid for pid in self.pipes if self._environ(pid).items() >= mark.items())

    def living(self) -> set[int]:
        return set(self.pipes)

    def broken(self) -> None:
        self.trouble()

    def occupy(self, process: ProcessRef, gib: float | None, gpu: int = 0) -> None:
        """The process has memory on the GPU, by the driver; None: the driver does not say how
        much."""
        memory = None if gib is None else Bytes(int(gib * GIB))
        here = self.gpus[gpu]
        others = tuple(other for other in here.processes if other.pid != process.pid)
        processes = (*others, GpuProcess(pid=process.pid, memory=memory))
        self._change(gpu, processes=processes)

    def leave(self, process: ProcessRef) -> None:
        """The driver lists the process no more."""
        for number, gpu in enumerate(self.gpus):
            left = tuple(other for other in gpu.processes if other.pid != process.pid)
            self._change(number, processes=left)

    def bare(self, parent: ProcessRef) -> ProcessRef:
        """A child that dropped the guard: no region has it."""
        return self.spawn(parent.pid, {"GPUSHARE_SHARE": ""})

    def _change(self, gpu: int, **fields: object) -> None:
        changed = list(self.gpus)
        changed[gpu] = replace(changed[gpu], **fields)
        self.gpus = tuple(changed)

    def lose(self, gpu: int) -> None:
        self._change(gpu, health=GpuHealth(lost=True))

    def unlist(self, gpu: int = 0) -> None:
        """The driver does not say who uses the GPU."""
        self._change(gpu, lists_processes=False)

    def parts(self, state: Path, step: Callable[[str], None] = lambda _: None) -> Parts:
        """The parts of a daemon on this world."""
        access = Access(operator=UID)
        return Parts(Store(state), self.ports(), access, step=step, turn_seconds=TURN_SECONDS)

    def ports(self) -> HostPorts:
        return HostPorts(
            gpus=self,
            processes=Processes(self),
            census=Censuses(self.root),
            cgroups=self,
            mechanisms=Mechanisms(
                [Recorded(self, PROMISES[name]) for name in HERE], self, self.nodes
            ),
            machine=self._machine,
            probe=self.prober or Prober(self),
            checkpoints=self.checkpoints,
            residents=Residents(self.root),
            leftovers=self.remains,
            listed=lambda gpu: gpu.processes if gpu.lists_processes else None,
            outside=lambda gpu, pids: [p for p in gpu.processes if p.pid not in pids],
            busy=lambda _, __: self.busy,
            signal=lambda process, number: self.signals.append((process.pid, number)),
            clock=self.clock,
            boot=self.boot,
            host_memory=self.host_memory,
        )

    def region_of(self, pid: int) -> tuple[GpuId, ...]:
        """The GPUs of the share whose mark the program carries."""
        return self.regions.named.get(self._environ(pid).get("GPUSHARE_SHARE", ""), ())

    def close(self) -> None:
        for ends in self.pipes.values():
            for descriptor in ends:
                os.close(descriptor)

    def _machine(self, context: Mapping[GpuId, Bytes]) -> Machine:
        capabilities = tuple(Capability(mechanism=name, available=True) for name in HERE)
        return Machine(gpus=self.gpus, capabilities=capabilities, context=dict(context))

    def _folder(self, pid: int) -> Path:
        return self.root / "proc" / str(pid)

    def _environ(self, pid: int) -> dict[str, str]:
        folder = self._folder(pid)
        text = (folder / "environ").read_text() if folder.is_dir() else ""
        return dict(pair.split("=", 1) for pair in text.split("\0") if pair)


@dataclass
class Prober:
    world: World

    def __call__(self, share: Share, edits: Edits, *, fill: bool) -> Verification:
        self.world.probed.append(share.decision.mechanisms)
        return self.world.broken_stacks.get(share.decision.mechanisms[0], self.world.proof)

    def contexts(self) -> dict[GpuId, tuple[str, Bytes]]:
        return {gpu.uuid: ("580.1", Bytes(GIB // 2)) for gpu in self.world.gpus}


def make_world(root: Path, gpus: int = 1, gib: int = 80) -> World:
    (root / "proc").mkdir(parents=True)
    return World(
        root=root,
        gpus=tuple(
            Gpu(
                uuid=GpuId(f"GPU-{index}"),
                index=index,
                name="World",
                memory_total=Bytes(gib * GIB),
                driver="580.1",
                simulated=True,
            )
            for index in range(gpus)
        ),
    )


def stuck() -> None:
    raise MpsStuckError("the MPS control daemon does not answer", "it is stuck")


def gone() -> None:
    raise GpuLostError("the GPU has fallen off the bus")
