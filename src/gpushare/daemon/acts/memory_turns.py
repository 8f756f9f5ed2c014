# SPDX-License-Identifier: Apache-2.0
"""Shares that take turns: of those on one GPU, one has its memory there and the others wait.

Shares with `turns` do not fit on their GPU together. The store records which one has the turn: it
has no `suspension`; the others are suspended with the cause `turn`. The guard in each program moves
the memory when the region of its share asks for it.

`settle` runs in each pass and between passes. For each GPU it

1. keeps one share on, if a crash or a new grant has left several;
2. ends a turn that has lasted `seconds`, or whose share has no program left, if another waits;
3. then compares what each region asks for with the record and corrects the region.

Leaving and returning happen at the same time: the returning share takes each chunk that the leaving
one frees. A share that has nothing to return does not begin before the other has left: what its
programs allocate would come out of the memory that neighbours are guaranteed. A share that cannot
leave (`Failure`) gets the turn back, and the next turn tries again; shares that wait show why.

Invariants: at most one share per GPU has the turn in the record. The record is written before a
region, and regions are corrected until they agree, so a crash in between loses nothing. Shares that
a user or a policy has suspended (`aside`) and shares with an unconfirmed act take no part.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.observer import Observer
from gpushare.guard import Failure
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import WAITS_FOR_TURN, Cause, Share, State, Suspension
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes
from gpushare.store import Act, Store

from .in_progress import ActsInProgress

# Failures of a leave. `GPU_MEMORY` is not among them: it is a return that still waits for room, and
# the guard keeps trying.
_UNMOVABLE = {Failure.UNMOVABLE, Failure.HOST_MEMORY, Failure.DRIVER}


def _takes_turns(share: Share) -> bool:
    placed = share.state.holds and share.decision is not None
    return share.spec.turns and placed and not share.aside


class MemoryTurns:
    """`seconds`: how long a turn lasts while another share waits for one."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        observer: Observer,
        acts: ActsInProgress,
        seconds: Callable[[], float],
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._observer, self._acts, self._seconds = observer, acts, seconds
        self._since: dict[ShareId, float] = {}
        self._hindered: dict[GpuId, str] = {}
        self._crowded: tuple[object, bool] = None, False
        self._takers: tuple[object, list[Share]] = None, []

    def crowded(self) -> bool:
        """Whether a share waits for a turn; nothing is looked through while no record changes."""
        version = self._store.generation
        if self._crowded[0] != version:
            crowded = any(len(group) > 1 for group in self._groups().values())
            self._crowded = version, crowded
        return self._crowded[1]

    async def settle(self, machine: Machine) -> None:
        """Let the right share have the turn on each GPU, and make the regions ask for it."""
        await self._pass(machine)
        # What had the turn has left at once, or had no memory: the next one need not wait.
        if any(all(share.suspension for share in group) for group in self._groups().values()):
            await self._pass(machine)

    async def _pass(self, machine: Machine) -> None:
        if not (shares := self._turn_shares()):
            return
        await self._observer.look(shares)
        for gpu, group in self._groups().items():
            self._turn(group)
            self._explain(gpu, group)
        for share in self._turn_shares():
            if self._acts.of(share.id) is None:
                work = self._correct(machine, share)
                self._acts.begin([share.id], "moved for its turn", work, frees=False)
        for share in shares:
            await self._acts.briefly(share.id)

    def _turn_shares(self) -> list[Share]:
        """Shares that take turns now; not those that a user or a policy has suspended."""
        if (version := self._store.generation) != self._takers[0]:
            living = self._store.shares.living()
            self._takers = version, [s for s in living if _takes_turns(s)]
        return list(self._takers[1])

    def _groups(self) -> dict[GpuId, list[Share]]:
        pending = self._store.intents.pending()
        busy = {intent.share for intent in pending if intent.act is not Act.ADJUST}
        groups: dict[GpuId, list[Share]] = {}
        for share in self._turn_shares():
            if share.id not in busy and share.decision:
                groups.setdefault(share.decision.gpus[0], []).append(share)
        return groups

    def _turn(self, group: Sequence[Share]) -> None:
        on = [share for share in group if share.suspension is None]
        current = self._current(on) if on else None
        for share in on:
            if current and share.id != current.id:
                self._record(share, away=True)
        had_turn = current or next((share for share in group if share.id in self._since), None)
        following = self._next(group, had_turn)
        if remaining := self._unable_to_leave(group):
            self._give_back(remaining, current)
        elif current is None:
            self._begin_after(group, following or had_turn or group[0])
        elif following is not None and self._over(current):
            self._record(current, away=True)
            self._begin_after(group, following)

    def _begin_after(self, group: Sequence[Share], following: Share) -> None:
        """The turn of `following` begins; not yet if it has to wait for what leaves."""
        if self._has_memory_away(following) or not any(
            self._leaving(share) for share in group if share.id != following.id
        ):
            self._begin(following)

    def _has_memory_away(self, share: Share) -> bool:
        moves = self._observed(share).moves
        return moves is not None and any(slot.away for slot in moves.slots)

    def _leaving(self, share: Share) -> bool:
        """Whether it still has memory on the GPU that it is asked to take away, or is not asked."""
        record = self._store.shares.get(share.id)
        moves = self._observed(share).moves
        if record.suspension is None or moves is None or not moves.slots:
            return False
        return moves.halt % 2 == 0 or not moves.away

    def _current(self, on: Sequence[Share]) -> Share:
        """Of several on the GPU, the one that had the turn, or that arrived first."""
        # `_since` is empty after a restart; then the share that arrived first keeps the turn.
        had_turn = [share for share in on if share.id in self._since]
        current = (had_turn or list(on))[0]
        self._since.setdefault(current.id, self._ports.clock.elapsed())
        return current

    def _next(self, group: Sequence[Share], current: Share | None) -> Share | None:
        """The first share after the current one whose programs want the GPU."""
        start = next((n for n, share in enumerate(group) if current and share.id == current.id), -1)
        # Round robin in the order of arrival, beginning after the current share.
        order = [*group[start + 1 :], *group[: max(start, 0)]]
        return next((share for share in order if self._wants(share)), None)

    def _wants(self, share: Share) -> bool:
        """Whether a program of the share lives."""
        return bool(share.members or self._observed(share).pids)

    def _over(self, current: Share) -> bool:
        held = self._ports.clock.elapsed() - self._since[current.id]
        return held >= self._seconds() or not self._wants(current)

    def _unable_to_leave(self, group: Sequence[Share]) -> Share | None:
        """A share that should be away and could not leave."""
        for share in group:
            moves = self._observed(share).moves
            if share.suspension and moves and moves.halt % 2:
                failed = {slot.failure for slot in moves.failures}
                if failed & _UNMOVABLE:
                    return share
        return None

    def _give_back(self, remaining: Share, current: Share | None) -> None:
        """Its memory is not free for another share; the next turn tries again."""
        because = self._why_stuck(remaining)
        whom = f" for {current.name}" if current else ""
        message = f"it did not leave the GPU{whom}: {because}"
        self._bus.publish("share.suspend_failed", message, share=remaining.id)
        if current:
            self._record(current, away=True)
        self._begin(remaining)
        assert remaining.decision is not None
        self._hindered[remaining.decision.gpus[0]] = because

    def _why_stuck(self, share: Share) -> str:
        moves = self._observed(share).moves
        return "; ".join(moves.unmovable if moves else ()) or "no memory on the host"

    def _explain(self, gpu: GpuId, group: Sequence[Share]) -> None:
        """Record why turns do not come. Others' names stay out of it."""
        records = [self._store.shares.get(share.id) for share in group]
        if all(record.suspension for record in records):
            stuck = any(self._leaving(record) for record in records)
            because = "the share before it has not left the GPU yet" if stuck else ""
        elif because := self._hindered.get(gpu, ""):
            because = f"the share before it cannot leave the GPU: {because}"
        for record in records:
            away = record.suspension
            if away is not None and away.hindered != because:
                self._store.shares.update(record.id, suspension=replace(away, hindered=because))

    def _begin(self, share: Share) -> None:
        assert share.decision is not None
        self._hindered.pop(share.decision.gpus[0], None)
        self._since = {share.id: self._ports.clock.elapsed()} | {
            other: at for other, at in self._since.items() if not self._same_gpu(other, share)
        }
        self._record(share, away=False)

    def _same_gpu(self, other: ShareId, share: Share) -> bool:
        record = next((s for s in self._turn_shares() if s.id == other), None)
        # A share that has ended or moved has no turn any more, so its entry is dropped.
        if record is None or record.decision is None or share.decision is None:
            return True
        return record.decision.gpus == share.decision.gpus

    def _record(self, share: Share, *, away: bool) -> None:
        if away == (share.suspension is not None):
            return
        suspension = Suspension(cause=Cause.TURN, since=self._ports.clock.now()) if away else None
        running = State.RUNNING if share.members else State.GRANTED
        state = State.SUSPENDED if away else running
        with self._store.transaction():
            self._store.shares.move(share.id, state, suspension=suspension)
            kind, message = ("waits", WAITS_FOR_TURN) if away else ("turn", "has the GPU memory")
            self._bus.publish(f"share.{kind}", message, share=share.id)

    async def _correct(self, machine: Machine, share: Share) -> None:
        """Make the region ask for what the record says; asking again changes nothing."""
        moves = self._observed(share).moves
        away = share.suspension is not None
        # `halt` is odd while the region asks its programs to be away.
        if moves is None or bool(moves.halt % 2) == away:
            return
        mechanisms = self._ports.mechanisms
        if away:
            await in_own_thread(mechanisms.suspend, share, self._keep(machine, share))
        else:
            await in_own_thread(mechanisms.resume, share)

    def _keep(self, machine: Machine, share: Share) -> Bytes:
        """Bytes that may stay on the GPU next to the shares that have their room there."""
        assert share.decision is not None
        grant = share.decision.grants[0]
        total = next((gpu.usable for gpu in machine.gpus if gpu.uuid == grant.gpu), Bytes(0))
        others = [s for s in self._store.shares.living() if s.state.holds and s.id != share.id]
        # Of the shares that take turns one has its memory there at a time, so only the largest
        # counts.
        turns = [_limit(s, grant) for s in others if s.spec.turns and not s.aside]
        rest = [_limit(s, grant) for s in others if not s.spec.turns and not s.aside]
        # Contexts do not leave with the memory: each share in turns keeps one on the GPU.
        contexts = machine.context.get(grant.gpu, Bytes(0)) * (1 + len(turns))
        return Bytes(max(0, total - max(turns, default=0) - sum(rest) - contexts))

    def _observed(self, share: Share) -> Observation:
        return self._observer.last(share.id)


def _limit(share: Share, where: GpuGrant) -> Bytes:
    grants = share.decision.grants if share.decision else ()
    return Bytes(sum(grant.limit for grant in grants if grant.gpu == where.gpu))
