# SPDX-License-Identifier: Apache-2.0
"""The two ways off the GPU: by the guard, which moves memory, and by the driver's checkpoint."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.guard import Failure, RegionSlot
from gpushare.hardware.ports import CheckpointState
from gpushare.mechanisms.mechanism import Moves, Observation
from gpushare.model.errors import (
    GpushareError,
    HostMemoryError,
    MoveFailedError,
    MoveTimeoutError,
    NotSuspendableError,
)
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise, unmigratable
from gpushare.model.share import Moved, Share, Tier
from gpushare.model.units import Bytes, format_bytes

_LOOK_SECONDS = 0.01
_NS = 1e9


def why_unmovable(stack: Sequence[Promise], seen: Observation) -> str:
    """Why the guard could not take the share off the GPU now; "" when it could."""
    if not any(promise.moves_memory for promise in stack):
        return f"only the guard moves memory, and the share uses {_names(stack)}"
    if seen.moves is None:
        return "its region cannot be read"
    if not seen.moves.movable:
        return "it was made by a gpushare that could not move memory"
    return "; ".join(seen.moves.unmovable)


def why_unmigratable(share: Share, stack: Sequence[Promise], seen: Observation) -> str:
    """Why the share could not move to another GPU now; "" when it could."""
    if because := unmigratable(stack):
        return because
    if not any(promise.moves_memory for promise in stack):
        return f"only the guard moves to another GPU, and the share uses {_names(stack)}"
    if share.spec.turns:
        return "it takes turns on its GPU"
    if seen.moves is None:
        return "its region cannot be read"
    if share.suspension is not None and share.suspension.tier is Tier.MEMORY:
        return "its memory waits for the GPU that it left; resume it first"
    return "; ".join(seen.moves.unmigratable)


def _names(stack: Sequence[Promise]) -> str:
    return "+".join(promise.mechanism for promise in stack) or "nothing yet"


class GuardSuspend:
    """Memory moves, contexts stay; works under MPS too."""

    def __init__(self, ports: HostPorts) -> None:
        self._ports = ports

    def check(self, share: Share, seen: Observation) -> None:
        """Raises NotSuspendableError."""
        if because := why_unmovable(self._ports.mechanisms.stack(share), seen):
            raise NotSuspendableError(
                f"share {share.name} cannot be suspended", because, f"gpushare show {share.name}"
            )

    async def leave(self, share: Share, _: Sequence[int], seconds: float) -> Moved:
        await asyncio.to_thread(self._ports.mechanisms.suspend, share, Bytes(0))
        moves = await self._until(share, lambda seen: seen.away, seconds)
        slots = moves.slots
        return Moved(
            out_seconds=max((slot.out_ns for slot in slots), default=0) / _NS,
            out_bytes=Bytes(sum(slot.moved for slot in slots)),
        )

    async def come_back(self, share: Share, _: Sequence[int], seconds: float) -> Moved:
        await self.undo(share, ())
        moves = await self._until(share, lambda seen: seen.back, seconds, patient=True)
        slots = moves.slots
        return Moved(
            in_seconds=max((slot.in_ns for slot in slots), default=0) / _NS,
            in_bytes=Bytes(sum(slot.moved for slot in slots)),
        )

    async def undo(self, share: Share, _: Sequence[int]) -> None:
        """After a leave that failed."""
        await asyncio.to_thread(self._ports.mechanisms.resume, share)

    async def stay(self, share: Share) -> None:
        """After a coming back that failed."""
        await asyncio.to_thread(self._ports.mechanisms.suspend, share, Bytes(0))

    async def _until(
        self, share: Share, done: Callable[[Moves], bool], seconds: float, *, patient: bool = False
    ) -> Moves:
        """`patient`: programs that find no room on the GPU try again by themselves."""
        deadline = self._ports.clock.elapsed() + seconds
        while True:
            seen = await asyncio.to_thread(self._ports.mechanisms.observe, share)
            moves = seen.moves
            if moves is None:
                raise MoveFailedError(f"share {share.name} is lost from sight", seen.fault)
            if done(moves):
                return moves
            self._refuse(share, moves, patient=patient)
            if self._ports.clock.elapsed() >= deadline:
                raise _late(share, moves, seconds)
            await asyncio.sleep(_LOOK_SECONDS)

    def _refuse(self, share: Share, moves: Moves, *, patient: bool) -> None:
        for slot in moves.failures:
            if not (patient and slot.failure is Failure.GPU_MEMORY):
                raise refusal(share, slot, moves)


class CheckpointSuspend:
    """Contexts go too; slower, and not under MPS or with managed memory."""

    def __init__(self, ports: HostPorts) -> None:
        self._mechanisms = ports.mechanisms
        self._checkpoints, self._elapsed = ports.checkpoints, ports.clock.elapsed

    def check(self, share: Share, _: Observation) -> None:
        for promise in self._mechanisms.stack(share):
            if promise.checkpointable:
                continue
            raise NotSuspendableError(
                f"share {share.name} cannot be suspended deeply",
                f"the driver cannot checkpoint programs under {promise.mechanism.label}",
                f"without --deep its memory moves anyway: gpushare suspend {share.name}",
            )
        if share.spec.turns:
            raise NotSuspendableError(
                f"share {share.name} cannot be suspended deeply",
                "it takes turns, which move its memory only",
                f"gpushare suspend {share.name}",
            )

    async def leave(self, share: Share, pids: Sequence[int], seconds: float) -> Moved:  # noqa: ARG002
        began = self._elapsed()
        await asyncio.to_thread(self._leave, pids, seconds)
        return Moved(out_seconds=self._elapsed() - began)

    async def come_back(self, share: Share, pids: Sequence[int], seconds: float) -> Moved:  # noqa: ARG002
        began = self._elapsed()
        await self.undo(share, pids)
        return Moved(in_seconds=self._elapsed() - began)

    async def undo(self, share: Share, pids: Sequence[int]) -> None:
        """Where it was, or on the GPUs that have become its own meanwhile."""
        await asyncio.to_thread(self._back, pids, _moves(share))

    async def stay(self, _: Share) -> None:
        """What was not restored is still away."""

    def remaps(self) -> str:
        """Why the driver restores programs on no other GPUs; "" when it does."""
        return self._checkpoints.remaps()

    async def returning(self, pids: Sequence[int]) -> bool:
        """Whether one is back already, or on its way."""
        states = await asyncio.to_thread(lambda: [self._checkpoints.state(pid) for pid in pids])
        return any(state not in {None, CheckpointState.CHECKPOINTED} for state in states)

    def _leave(self, pids: Sequence[int], seconds: float) -> None:
        """All are stopped before the first one goes: they may wait for each other."""
        using = [pid for pid in pids if self._checkpoints.state(pid) is not None]
        for pid in using:
            if self._checkpoints.state(pid) is CheckpointState.RUNNING:
                self._checkpoints.lock(pid, seconds)
        for pid in using:
            if self._checkpoints.state(pid) is CheckpointState.LOCKED:
                self._checkpoints.checkpoint(pid)

    def _back(self, pids: Sequence[int], moves: Mapping[GpuId, GpuId]) -> None:
        """None runs before all are there: they may wait for each other."""
        for pid in pids:
            if self._checkpoints.state(pid) is CheckpointState.CHECKPOINTED:
                self._checkpoints.restore(pid, moves)
        for pid in pids:
            if self._checkpoints.state(pid) is CheckpointState.LOCKED:
                self._checkpoints.unlock(pid)


def _moves(share: Share) -> dict[GpuId, GpuId]:
    """Which GPU has taken the place of which while its programs were away."""
    left = share.suspension.left if share.suspension else ()
    here = share.decision.gpus if share.decision else ()
    return {old: new for old, new in zip(left, here, strict=False) if old != new}


def refusal(share: Share, slot: RegionSlot, moves: Moves) -> GpushareError:
    """Why a process has not moved."""
    what = f"process {slot.pid} of share {share.name} cannot move"
    match slot.failure:
        case Failure.UNMOVABLE:
            because = "; ".join(moves.unmovable) or "some of its memory cannot move"
            return NotSuspendableError(what, because, f"gpushare show {share.name}")
        case Failure.HOST_MEMORY:
            missing = format_bytes(max(0, slot.movable - slot.host))
            return HostMemoryError(
                what,
                f"{missing} of host memory are missing for what it has on the GPU",
                "raise swap_memory, or resume or end what is suspended; nothing is lost",
            )
        case Failure.GPU_MEMORY:
            return MoveFailedError(what, "there is no GPU memory for it", "gpushare gpus")
        case _:
            return MoveFailedError(what, "the driver refused", "see the kernel's log: dmesg")


def _late(share: Share, moves: Moves, seconds: float) -> MoveTimeoutError:
    slow = [str(slot.pid) for slot in moves.slots if slot.suspend_seen != moves.halt]
    waiting = f"processes {', '.join(slow)} have not answered" if slow else "it is still moving"
    return MoveTimeoutError(
        f"share {share.name} did not move within {seconds:g} s", waiting, "try again: --timeout"
    )
