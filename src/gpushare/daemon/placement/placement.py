# SPDX-License-Identifier: Apache-2.0
"""The queue: asks the scheduler, and has the executor do what it decides."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Machine
from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, Share
from gpushare.model.spec import ShareSpec
from gpushare.scheduler import (
    Request,
    Snapshot,
    Waiting,
    admission,
    book,
    decide,
    hindrance,
    in_quota,
    place_gang,
    plan,
    rank_reason,
    regrant,
)
from gpushare.scheduler.order.tenancy import tenancy
from gpushare.scheduler.placing.relocate import relocate
from gpushare.store import Store

from .queue import HeldBack, Queue, Unit
from .reclaimer import Reclaimer
from .replay import DecisionRecord
from .snapshots import Snapshots

Outcome = Decision | Waiting
Failed = Waiting | GpushareError


@dataclass
class _Pass:
    """Who waits already, and whether the next one may be within a guarantee.

    Those who are go before those who are not, so after the first who is not nobody is.
    """

    ahead: list[Request]
    owed: bool


class Placement:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        executor: Executor,
        members: ShareProcesses,
        *,
        observer: Observer,
        turns: MemoryTurns,
        reclaimer: Reclaimer,
    ) -> None:
        self._store, self._ports = store, ports
        self._executor, self._reclaimer = executor, reclaimer
        self._snapshots = Snapshots(store, ports, members, observer, reclaimer.balks)
        self._queue = Queue(store, executor.busy)
        self.turns = turns
        self.machine = Machine()
        self._asked: set[tuple[str, str]] = set()

    async def refresh(self) -> None:
        """Look at the machine anew; raises HardwareError."""
        self.machine = await asyncio.to_thread(self._ports.machine, self._store.contexts.all())
        if await self._measured():
            self.machine = await asyncio.to_thread(self._ports.machine, self._store.contexts.all())

    async def _measured(self) -> bool:
        """Regions charge contexts, so their cost is measured before the first share; once."""
        present = {(gpu.uuid, gpu.driver) for gpu in self.machine.gpus if not gpu.health.lost}
        new = present - self._asked
        self._asked |= new
        if all(self._store.contexts.get(*key) is not None for key in new):
            return False
        found = await asyncio.to_thread(self._ports.probe.contexts)
        for gpu, (driver, cost) in found.items():
            self._store.contexts.put(gpu, driver, cost)
        return bool(found)

    def outcome(self, request: Request) -> Outcome:
        """What would happen to a request now; raises what `decide` raises, and QuotaError."""
        state = self._state()
        everybody = replace(state, queue=self._queue.requests(state))
        if reason := admission(everybody, request):
            return HeldBack(position=1, waits_for=reason)
        return decide(replace(state, queue=self._queue.before(state, request)), request)

    def book(self, request: Request) -> Decision:
        """Where a request for a time to come will land; raises as `scheduler.book` does."""
        state = self._state()
        everybody = replace(state, queue=self._queue.requests(state))
        admission(everybody, request)
        return book(everybody, request)

    def reclaimable(self, request: Request) -> bool:
        """Whether others would have to give back what the request needs."""
        state = self._state()
        return bool(plan(replace(state, queue=self._queue.before(state, request)), request))

    def hindrance(self, share: Share) -> str:
        """What a suspended share would have to wait for before it can come back."""
        return hindrance(self._state(), share)

    def regrant(self, share: Share, spec: ShareSpec) -> Decision:
        """The share's decision under another spec; raises as `scheduler.regrant` does."""
        return regrant(self._state(), share, spec)

    def relocate(self, share: Share, to: Sequence[str]) -> Decision:
        """The share's decision on other GPUs; raises as `scheduler.relocate` does."""
        return relocate(self._state(), share, to)

    def standing(self, share: ShareId) -> tuple[str, ...]:
        """Where a waiting share stands among those that wait, and why; empty when it does not."""
        state = self._state()
        waiting_requests = self._queue.requests(state)
        mine = (
            request
            for request in waiting_requests
            if request.id == share and request.spec.at is None
        )
        return tuple(rank_reason(state, waiting_requests, request) for request in mine)

    def borrowed(self) -> Collection[ShareId] | None:
        """Shares beyond what their tenants are guaranteed; None where there are no tenants."""
        if not self._store.policy.current().tenants:
            return None
        return tenancy(self._state()).borrowed

    def begins(self) -> datetime | None:
        """When the next reservation begins."""
        times = (request.spec.at for request in self._queue.early(self._ports.clock.now()))
        return min((at for at in times if at is not None), default=None)

    def waiting(self) -> dict[ShareId, Waiting]:
        """Every queued share and what it waits for."""
        state = self._state()
        singles = [*self._queue.early(state.now), *self._queue.incomplete(state)]
        found = {r.id: answer for r in singles if (answer := self._waits((r,), state))}
        ahead: list[Request] = []
        for unit in self._queue.units(state):
            if answer := self._waits(unit, replace(state, queue=tuple(ahead))):
                found |= {request.id: answer for request in unit}
                ahead += () if isinstance(answer, HeldBack) else unit
        return found

    async def advance(self) -> None:
        """Serve those who wait, in their order; give back what was taken and is free again."""
        state = self._state()
        turn = _Pass([], state.policy.guarantees)
        for unit in self._queue.units(state):
            if await self._serve(unit, replace(state, queue=tuple(turn.ahead)), turn):
                state = self._state()
        await self._reclaimer.give_back(replace(state, queue=self._queue.requests(state)))
        await self.turns.settle(self.machine)

    async def _serve(self, unit: Unit, state: Snapshot, turn: _Pass) -> bool:
        """True when the state is another now."""
        answer, taken = self._answer(unit, state), False
        if isinstance(answer, Waiting) and turn.owed and not isinstance(answer, HeldBack):
            taken = await self._take_back(unit, state)
            turn.owed = taken or bool(unit[0].spec.at) or in_quota(state, unit[-1])
        if taken:
            state = self._state(turn.ahead)
            answer = self._answer(unit, state)
        if isinstance(answer, Waiting):
            turn.ahead += () if isinstance(answer, HeldBack) else unit
            return taken
        if isinstance(answer, GpushareError):
            for request in unit:
                await self._executor.fail(self._store.shares.get(request.id), answer)
        else:
            await self._grant(unit, state, answer)
        return True

    async def _grant(self, unit: Unit, state: Snapshot, decisions: Sequence[Decision]) -> None:
        """Of a gang all or nobody: when one cannot be made real the others end with it."""
        for number, decision in enumerate(decisions):
            record = DecisionRecord(state=state, requests=unit, number=number, decision=decision)
            self._store.decisions.put(unit[number].id, self._ports.clock.now(), record.encode())
        shares = [self._store.shares.get(request.id) for request in unit]
        await self._executor.grant(list(zip(shares, decisions, strict=True)))

    async def _take_back(self, unit: Unit, state: Snapshot) -> bool:
        """True when something was taken back for the unit."""
        if self._room_comes(unit, state):
            return False
        mates = (*state.queue, *unit[:-1])
        steps = plan(replace(state, queue=mates), unit[-1])
        await self._reclaimer.take(steps, unit[-1])
        return bool(steps)

    def _room_comes(self, unit: Unit, state: Snapshot) -> bool:
        """Whether those that are being ended leave enough: then nobody else has to give."""
        leaving = set(self._reclaimer.leaving())
        if not leaving:
            return False
        staying = tuple(share for share in state.shares if share.id not in leaving)
        return isinstance(self._answer(unit, replace(state, shares=staying)), tuple)

    def _waits(self, unit: Unit, state: Snapshot) -> Waiting | None:
        answer = self._answer(unit, state)
        return answer if isinstance(answer, Waiting) else None

    def _answer(self, unit: Unit, state: Snapshot) -> tuple[Decision, ...] | Failed:
        try:
            for request in unit:
                if reason := admission(state, request):
                    return HeldBack(position=1, waits_for=reason)
            answer = decide(state, unit[0]) if len(unit) == 1 else place_gang(state, unit)
        except GpushareError as error:
            return error
        return (answer,) if isinstance(answer, Decision) else answer

    def _state(self, queue: Sequence[Request] = ()) -> Snapshot:
        return self._snapshots.take(self.machine, queue)
