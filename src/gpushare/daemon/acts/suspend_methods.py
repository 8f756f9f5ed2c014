# SPDX-License-Identifier: Apache-2.0
"""The two methods that take a share's programs off the GPU and bring them back.

`GuardSuspend` (tier `memory`): the guard in each process copies its memory to the host pool when
the share's region asks for it. Contexts stay on the GPU, a few hundred MiB each. Works under MPS.

`CheckpointSuspend` (tier `checkpoint`): the driver checkpoints each process, contexts included.
Slower; not under MPS, nor for shares that take turns. The driver can restore to another GPU.

Both have the same four acts: `leave`, `come_back`, `undo` after a failed leave, and `stay` after a
failed return. `Transitions` calls them between an intent and its confirmation.

Invariants:
- Every act may be repeated: it looks at the present state and does what is missing.
- A leave that raises has changed nothing that `undo` does not restore; programs then run on.
- All processes of a share are stopped before the first one leaves, and none runs before all are
  back, because they may wait for each other.
- What a region says is untrusted: it decides whether a move is done, never what another share gets.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
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
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Promise, unmigratable
from gpushare.model.share import Moved, Share, Tier
from gpushare.model.units import Bytes, format_bytes

# The guard answers in the region and has no way to wake the daemon. 16 GiB move in 0.32 s (ADR
# 0018), so ten milliseconds between looks add little to a move.
_LOOK_SECONDS = 0.01
_NS = 1e9


def why_unmovable(stack: Sequence[Promise], observed: Observation) -> str:
    """Why the guard cannot take the share off the GPU now; "" if it can."""
    if not any(promise.moves_memory for promise in stack):
        return f"only the guard moves memory, and the share uses {_names(stack)}"
    if observed.moves is None:
        return "its region cannot be read"
    if not observed.moves.movable:
        return "it was made by a version of gpushare that could not move memory"
    return "; ".join(observed.moves.unmovable)


def why_no_host_memory(observed: Observation) -> str:
    """Why the memory of the share has no place on the host now; "" if it has."""
    moves = observed.moves
    if moves is None or not moves.missing:
        return ""
    needed, missing = format_bytes(moves.needed), format_bytes(moves.missing)
    return f"it needs {needed} of host memory, and {missing} of that are missing"


def why_unmigratable(share: Share, stack: Sequence[Promise], observed: Observation) -> str:
    """Why the share cannot move to another GPU now; "" if it can."""
    if because := unmigratable(stack):
        return because
    if not any(promise.moves_memory for promise in stack):
        return f"only the guard moves to another GPU, and the share uses {_names(stack)}"
    if share.spec.turns:
        return "it takes turns on its GPU"
    if observed.moves is None:
        return "its region cannot be read"
    if share.suspension is not None and share.suspension.tier is Tier.MEMORY:
        return "its memory can only return to the GPU that it left; resume it first"
    return "; ".join(observed.moves.unmigratable)


def _names(stack: Sequence[Promise]) -> str:
    return "+".join(promise.mechanism for promise in stack) or "nothing yet"


class GuardSuspend:
    """Memory moves, contexts stay on the GPU; works under MPS too.

    `unwanted`: whether the share is being ended, so that nothing waits for its programs.
    """

    def __init__(self, ports: HostPorts, unwanted: Callable[[ShareId], bool]) -> None:
        self._ports, self._unwanted = ports, unwanted

    def check(self, share: Share, observed: Observation) -> None:
        """Raises NotSuspendableError."""
        if because := why_unmovable(self._ports.mechanisms.stack(share), observed):
            raise NotSuspendableError(
                f"share {share.name} cannot be suspended", because, f"gpushare show {share.name}"
            )

    async def leave(self, share: Share, _: Sequence[int], seconds: float) -> Moved:
        """All bytes, and the seconds of the slowest process. Raises as `refusal` does."""
        await in_own_thread(self._ports.mechanisms.suspend, share, Bytes(0))
        moves = await self._until(share, lambda moves: moves.away, seconds)
        slots = moves.slots
        return Moved(
            out_seconds=max((slot.out_ns for slot in slots), default=0) / _NS,
            out_bytes=Bytes(sum(slot.moved for slot in slots)),
        )

    async def come_back(self, share: Share, _: Sequence[int], seconds: float) -> Moved:
        """As `leave`, but waits while there is no GPU memory, because others may be leaving."""
        await self.undo(share, ())
        moves = await self._until(share, lambda moves: moves.back, seconds, patient=True)
        slots = moves.slots
        return Moved(
            in_seconds=max((slot.in_ns for slot in slots), default=0) / _NS,
            in_bytes=Bytes(sum(slot.moved for slot in slots)),
        )

    async def undo(self, share: Share, _: Sequence[int]) -> None:
        """After a leave that failed."""
        await in_own_thread(self._ports.mechanisms.resume, share)

    async def stay(self, share: Share) -> None:
        """After a return that failed."""
        await in_own_thread(self._ports.mechanisms.suspend, share, Bytes(0))

    async def _until(
        self, share: Share, done: Callable[[Moves], bool], seconds: float, *, patient: bool = False
    ) -> Moves:
        """`patient`: programs that find no room on the GPU keep trying."""
        deadline = self._ports.clock.elapsed() + seconds
        while True:
            observed = await in_own_thread(self._ports.mechanisms.observe, share)
            moves = observed.moves
            if moves is None:
                raise MoveFailedError(
                    f"the region of share {share.name} cannot be read", observed.fault
                )
            if done(moves):
                return moves
            self._refuse(share, moves, patient=patient)
            if self._unwanted(share.id):
                raise MoveFailedError(f"share {share.name} did not move", "it is being ended")
            if self._ports.clock.elapsed() >= deadline:
                raise _late(share, moves, seconds)
            await asyncio.sleep(_LOOK_SECONDS)

    def _refuse(self, share: Share, moves: Moves, *, patient: bool) -> None:
        for slot in moves.failures:
            # On the way back, missing room is temporary: another share may still be leaving.
            if not (patient and slot.failure is Failure.GPU_MEMORY):
                raise refusal(share, slot, moves)


class CheckpointSuspend:
    """Contexts go too; slower, and not under MPS or with managed memory."""

    def __init__(self, ports: HostPorts) -> None:
        self._mechanisms = ports.mechanisms
        self._checkpoints, self._elapsed = ports.checkpoints, ports.clock.elapsed

    def check(self, share: Share, _: Observation) -> None:
        """Raises NotSuspendableError."""
        for promise in self._mechanisms.stack(share):
            if promise.checkpointable:
                continue
            raise NotSuspendableError(
                f"share {share.name} cannot be checkpointed",
                f"the driver cannot checkpoint programs under {promise.mechanism.label}",
                f"move its memory without --deep: gpushare suspend {share.name}",
            )
        if share.spec.turns:
            raise NotSuspendableError(
                f"share {share.name} cannot be checkpointed",
                "it takes turns, which move its memory only",
                f"gpushare suspend {share.name}",
            )

    async def leave(self, share: Share, pids: Sequence[int], seconds: float) -> Moved:  # noqa: ARG002
        """Lock every process, then checkpoint each; raises as the driver's checkpoint does."""
        began = self._elapsed()
        await in_own_thread(self._leave, pids, seconds)
        return Moved(out_seconds=self._elapsed() - began)

    async def come_back(self, share: Share, pids: Sequence[int], seconds: float) -> Moved:  # noqa: ARG002
        """Restore every process, then unlock each; raises as the driver's checkpoint does."""
        began = self._elapsed()
        await self.undo(share, pids)
        return Moved(in_seconds=self._elapsed() - began)

    async def undo(self, share: Share, pids: Sequence[int]) -> None:
        """On the GPUs where it was, or on those that it was moved to meanwhile."""
        await in_own_thread(self._back, pids, _moves(share))

    async def stay(self, _: Share) -> None:
        """Processes that were not restored are still away."""

    def remaps(self) -> str:
        """Why the driver cannot restore programs on other GPUs; "" if it can."""
        return self._checkpoints.remaps()

    async def returning(self, pids: Sequence[int]) -> bool:
        """Whether one of them is back already, or returning."""
        states = await in_own_thread(lambda: [self._checkpoints.state(pid) for pid in pids])
        return any(state not in {None, CheckpointState.CHECKPOINTED} for state in states)

    def _leave(self, pids: Sequence[int], seconds: float) -> None:
        """All are stopped before the first one leaves: they may wait for each other."""
        # A share also contains processes that never used CUDA, shells for example; the driver knows
        # no state of them.
        using = [pid for pid in pids if self._checkpoints.state(pid) is not None]
        for pid in self._those(using, CheckpointState.RUNNING):
            self._checkpoints.lock(pid, seconds)
        for pid in self._those(using, CheckpointState.LOCKED):
            self._checkpoints.checkpoint(pid)

    def _back(self, pids: Sequence[int], moves: Mapping[GpuId, GpuId]) -> None:
        """None runs before all are back: they may wait for each other."""
        for pid in self._those(pids, CheckpointState.CHECKPOINTED):
            self._checkpoints.restore(pid, moves)
        for pid in self._those(pids, CheckpointState.LOCKED):
            self._checkpoints.unlock(pid)

    def _those(self, pids: Sequence[int], state: CheckpointState) -> Iterator[int]:
        """Each is looked at only when its turn comes."""
        return (pid for pid in pids if self._checkpoints.state(pid) is state)


def _moves(share: Share) -> dict[GpuId, GpuId]:
    """Which GPU has replaced which while the programs were away."""
    left = share.suspension.left if share.suspension else ()
    here = share.decision.gpus if share.decision else ()
    return {old: new for old, new in zip(left, here, strict=False) if old != new}


def refusal(share: Share, slot: RegionSlot, moves: Moves) -> GpushareError:
    """The error for a process that has not moved."""
    what = f"process {slot.pid} of share {share.name} cannot move"
    match slot.failure:
        case Failure.UNMOVABLE:
            because = "; ".join(moves.unmovable) or "some of its memory cannot move"
            return NotSuspendableError(what, because, f"gpushare show {share.name}")
        case Failure.HOST_MEMORY:
            missing = format_bytes(max(0, slot.movable - slot.host))
            return HostMemoryError(
                what,
                f"{missing} of host memory are missing for its GPU memory",
                "raise swap_memory, or resume or end suspended shares; nothing is lost",
            )
        case Failure.GPU_MEMORY:
            return MoveFailedError(what, "there is no GPU memory for it", "gpushare gpus")
        case _:
            return MoveFailedError(
                what, "the driver refused", "see the log of the Linux kernel: dmesg"
            )


def _late(share: Share, moves: Moves, seconds: float) -> MoveTimeoutError:
    # A process whose `suspend_seen` is older has not reacted at all: it is stopped, or in a driver
    # call.
    slow = [str(slot.pid) for slot in moves.slots if slot.suspend_seen != moves.halt]
    waiting = f"processes {', '.join(slow)} have not answered" if slow else "it is still moving"
    return MoveTimeoutError(
        f"share {share.name} did not move within {seconds:g} s", waiting, "try again: --timeout"
    )
