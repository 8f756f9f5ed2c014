# SPDX-License-Identifier: Apache-2.0
"""Shares that take turns: of those on one GPU, one has its memory there and the others wait.

The record says who has the turn; programs are told by their regions, and told again in each pass
until they agree with it, so a daemon that dies in between loses nothing. Leaving and coming back go
on at the same time: each piece that one frees is taken by the other.
"""

import asyncio
from collections.abc import Sequence

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.guard import Failure
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import WAITS_FOR_TURN, Cause, Share, State, Suspension
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes
from gpushare.store import Store

_UNMOVABLE = {Failure.UNMOVABLE, Failure.HOST_MEMORY, Failure.DRIVER}


class MemoryTurns:
    """`seconds`: how long a turn lasts while somebody else wants one."""

    def __init__(
        self, store: Store, ports: HostPorts, bus: Bus, observer: Observer, seconds: float
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._observer, self._seconds = observer, seconds
        self._since: dict[ShareId, float] = {}

    def crowded(self) -> bool:
        """Whether somebody waits for a turn."""
        return len(self._turn_shares()) > 1 and any(len(g) > 1 for g in self._groups().values())

    async def settle(self, machine: Machine) -> None:
        """One has the turn on each GPU, the one who should, and programs know."""
        groups = self._groups()
        members = [share for group in groups.values() for share in group]
        if not members:
            return
        await self._observer.look(members)
        for group in groups.values():
            self._turn(group)
        for share in self._turn_shares():
            await self._tell(machine, share)

    def _turn_shares(self) -> list[Share]:
        """Who takes turns now: not those that somebody has suspended."""
        living = self._store.shares.living()
        return [s for s in living if s.spec.turns and s.state.holds and s.decision and not s.aside]

    def _groups(self) -> dict[GpuId, list[Share]]:
        busy = {intent.share for intent in self._store.intents.pending()}
        groups: dict[GpuId, list[Share]] = {}
        for share in self._turn_shares():
            if share.id not in busy and share.decision:
                groups.setdefault(share.decision.gpus[0], []).append(share)
        return groups

    def _turn(self, group: Sequence[Share]) -> None:
        on = [share for share in group if share.suspension is None]
        has = self._keeper(on) if on else None
        for share in on:
            if has and share.id != has.id:
                self._record(share, away=True)
        following = self._next(group, has)
        if has is None:
            self._begin(following or group[0])
        elif stubborn := self._stubborn(group):
            self._give_back(stubborn, has)
        elif following is not None and self._over(has):
            self._record(has, away=True)
            self._begin(following)

    def _keeper(self, on: Sequence[Share]) -> Share:
        """Of several that are on the GPU, the one that has been there, or came first."""
        known = [share for share in on if share.id in self._since]
        has = (known or list(on))[0]
        self._since.setdefault(has.id, self._ports.clock.elapsed())
        return has

    def _next(self, group: Sequence[Share], has: Share | None) -> Share | None:
        """The first after the one that has the turn whose programs want the GPU."""
        start = next((n for n, share in enumerate(group) if has and share.id == has.id), -1)
        line = [*group[start + 1 :], *group[: max(start, 0)]]
        return next((share for share in line if self._wants(share)), None)

    def _wants(self, share: Share) -> bool:
        """Some program of it lives."""
        return bool(share.members or self._seen(share).pids)

    def _over(self, has: Share) -> bool:
        held = self._ports.clock.elapsed() - self._since[has.id]
        return held >= self._seconds or not self._wants(has)

    def _stubborn(self, group: Sequence[Share]) -> Share | None:
        """One that should be away and has refused to go."""
        for share in group:
            moves = self._seen(share).moves
            if share.suspension and moves and moves.halt % 2:
                failed = {slot.failure for slot in moves.failures}
                if failed & _UNMOVABLE:
                    return share
        return None

    def _give_back(self, stubborn: Share, has: Share) -> None:
        """Nobody can have the memory of one that does not let go; the next turn tries again."""
        moves = self._seen(stubborn).moves
        because = "; ".join(moves.unmovable) if moves else ""
        said = f"it did not leave the GPU for {has.name}: {because or 'no memory on the host'}"
        self._bus.publish("share.suspend_failed", said, share=stubborn.id)
        self._record(has, away=True)
        self._begin(stubborn)

    def _begin(self, share: Share) -> None:
        self._since = {share.id: self._ports.clock.elapsed()} | {
            other: at for other, at in self._since.items() if not self._same_gpu(other, share)
        }
        self._record(share, away=False)

    def _same_gpu(self, other: ShareId, share: Share) -> bool:
        found = next((s for s in self._turn_shares() if s.id == other), None)
        if found is None or found.decision is None or share.decision is None:
            return True
        return found.decision.gpus == share.decision.gpus

    def _record(self, share: Share, *, away: bool) -> None:
        if away == (share.suspension is not None):
            return
        suspension = Suspension(cause=Cause.TURN, since=self._ports.clock.now()) if away else None
        running = State.RUNNING if share.members else State.GRANTED
        state = State.SUSPENDED if away else running
        with self._store.transaction():
            self._store.shares.move(share.id, state, suspension=suspension)
            kind, said = ("waits", WAITS_FOR_TURN) if away else ("turn", "has the GPU memory")
            self._bus.publish(f"share.{kind}", said, share=share.id)

    async def _tell(self, machine: Machine, share: Share) -> None:
        """The wish stands in the region; asking twice is asking once."""
        moves = self._seen(share).moves
        away = share.suspension is not None
        if moves is None or bool(moves.halt % 2) == away:
            return
        acts = self._ports.mechanisms
        if away:
            await asyncio.to_thread(acts.suspend, share, self._keep(machine, share))
        else:
            await asyncio.to_thread(acts.resume, share)

    def _keep(self, machine: Machine, share: Share) -> Bytes:
        """What may stay on the GPU beside everybody who has a right to be there."""
        assert share.decision is not None
        grant = share.decision.grants[0]
        total = next((gpu.usable for gpu in machine.gpus if gpu.uuid == grant.gpu), Bytes(0))
        others = [s for s in self._store.shares.living() if s.state.holds and s.id != share.id]
        turns = [_limit(s, grant) for s in others if s.spec.turns and not s.aside]
        rest = [_limit(s, grant) for s in others if not s.spec.turns and not s.aside]
        contexts = machine.context.get(grant.gpu, Bytes(0)) * (1 + len(turns))
        return Bytes(max(0, total - max(turns, default=0) - sum(rest) - contexts))

    def _seen(self, share: Share) -> Observation:
        return self._observer.last(share.id)


def _limit(share: Share, where: GpuGrant) -> Bytes:
    grants = share.decision.grants if share.decision else ()
    return Bytes(sum(grant.limit for grant in grants if grant.gpu == where.gpu))
