# SPDX-License-Identifier: Apache-2.0
"""How programs of a made-up world leave the GPU and come back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpushare.guard import Failure, Phase, RegionSlot
from gpushare.hardware.ports import CheckpointState
from gpushare.mechanisms.mechanism import Moves
from gpushare.model.errors import MoveFailedError, MoveTimeoutError, NotSuspendableError
from gpushare.model.ids import GpuId
from gpushare.model.units import GIB, Bytes

NOTHING = Bytes(0)


@dataclass
class Regions:
    """`failure`: what leaving ends in. `stuck`: programs never answer. `full`: no way back.

    `fixed`: bits of what cannot move. Each look without an answer takes `pause` seconds.
    `named`: the GPUs that a share's region is about. `empty`: processes without memory on a GPU.
    `stopped`: processes that do not answer, where others do.
    """

    halts: dict[str, int] = field(default_factory=dict)
    named: dict[str, tuple[GpuId, ...]] = field(default_factory=dict)
    kept: dict[str, Bytes] = field(default_factory=dict)
    failure: Failure = Failure.NONE
    fixed: int = 0
    empty: set[int] = field(default_factory=set)
    stopped: set[int] = field(default_factory=set)
    stuck: bool = False
    full: bool = False
    pause: float = 20.0

    def ask(self, share: str, *, away: bool, keep: Bytes = NOTHING) -> None:
        halt = self.halts.get(share, 0)
        self.halts[share] = halt + (halt % 2 != away)
        self.kept[share] = keep

    def away(self, share: str) -> bool:
        return bool(self.halts.get(share, 0) % 2)

    def look(self, share: str, pids, clock) -> Moves:
        halt = self.halts.get(share, 0)
        if self.stuck or self.full:
            clock.pass_by(self.pause)
        return Moves(halt=halt, slots=tuple(self._slot(pid, halt) for pid in pids))

    def _slot(self, pid: int, halt: int) -> RegionSlot:
        leaving = halt % 2 == 1
        failure = self.failure if leaving else Failure.NONE
        if self.full and not leaving and halt:
            failure = Failure.GPU_MEMORY
        away = (leaving and not failure) or failure is Failure.GPU_MEMORY
        silent = self.stuck or pid in self.stopped
        memory = 0 if pid in self.empty else 4 * GIB
        return RegionSlot(
            pid=pid,
            started=1,
            pid_namespace=1,
            charged={},
            phase=Phase.AWAY if away and not silent else Phase.RUNS,
            unmovable=self.fixed,
            failure=failure,
            suspend_seen=halt - 1 if silent else halt,
            moved=Bytes(4 * GIB),
            away=Bytes(memory if away and not silent else 0),
            movable=Bytes(memory),
            out_ns=250_000_000,
            in_ns=125_000_000,
        )


@dataclass
class Checkpoints:
    """`managed`: pids with managed memory. `busy`: pids that do not stop in time.

    `at`: the GPUs that a program was on when it was last stopped or restored; `first`: where it
    began. `closed`: GPUs on which the driver restores nothing from elsewhere, `stranded`: pids that
    it restores on no other GPU. `old`: it is a driver that restores no program elsewhere.
    """

    states: dict[int, CheckpointState] = field(default_factory=dict)
    managed: set[int] = field(default_factory=set)
    busy: set[int] = field(default_factory=set)
    plain: set[int] = field(default_factory=set)
    at: dict[int, tuple[GpuId, ...]] = field(default_factory=dict)
    closed: set[GpuId] = field(default_factory=set)
    stranded: set[int] = field(default_factory=set)
    old: str = ""
    first: Callable[[int], tuple[GpuId, ...]] = lambda _: ()

    def state(self, pid: int) -> CheckpointState | None:
        return None if pid in self.plain else self.states.get(pid, CheckpointState.RUNNING)

    def lock(self, pid: int, seconds: float) -> None:
        if pid in self.busy:
            raise MoveTimeoutError(f"process {pid} did not stop in time")
        self.at.setdefault(pid, self.first(pid))
        self.states[pid] = CheckpointState.LOCKED

    def checkpoint(self, pid: int) -> None:
        assert self.states[pid] is CheckpointState.LOCKED
        if pid in self.managed:
            raise NotSuspendableError(f"the driver cannot checkpoint process {pid}", "managed")
        self.states[pid] = CheckpointState.CHECKPOINTED

    def remaps(self) -> str:
        return self.old

    def restore(self, pid: int, moves: Mapping[GpuId, GpuId] = {}) -> None:
        assert self.states[pid] is CheckpointState.CHECKPOINTED
        if moves and (pid in self.stranded or self.closed & set(moves.values())):
            raise MoveFailedError(f"the driver did not restore process {pid}", "CUDA error 1")
        self.at[pid] = tuple(moves.get(gpu, gpu) for gpu in self.at[pid])
        self.states[pid] = CheckpointState.LOCKED

    def unlock(self, pid: int) -> None:
        assert self.states[pid] is CheckpointState.LOCKED
        self.states[pid] = CheckpointState.RUNNING
