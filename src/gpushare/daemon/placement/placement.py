# SPDX-License-Identifier: Apache-2.0
"""Serves the queue: asks the scheduler for decisions and has the executor carry them out.

The scheduler is pure: it receives a `Snapshot` of the machine, the shares, the queue and the
policy, and returns a decision, a reason to wait, or an error. This module gives it the right
snapshot for each waiting unit (one request, or a gang) and acts on the answer:

- a decision is recorded with everything it was made from, then granted;
- an error (it can never fit, the policy forbids it) fails the shares of the unit;
- `Waiting` leaves the unit in the queue, and later units see it as ahead of them, so that a
  backfill never delays it. `HeldBack` (by a tenant's limit or a reservation's time) blocks none.

A unit within its tenant's guarantee may take room back from borrowers (`Reclaimer`). Units are in
the order of the queue, and those within a guarantee come first. So the search for such units stops
at the first unit beyond its guarantee, and room that ending shares will leave is waited for first.

Invariants: a gang is granted as a whole or not at all. After each grant, failure or reclaim the
next unit sees a new snapshot. Only `advance` changes anything. It decides and begins acts without a
pause, and waits for none: what acts in progress take or leave is in the snapshot.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.hardware.ports import Clock
from gpushare.model.errors import GpushareError, QuotaError
from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, Share
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
    wants_more,
)
from gpushare.scheduler.order.tenancy import tenancy
from gpushare.scheduler.placing.relocate import relocate
from gpushare.store import Store

from .fallback import Fallback
from .queue import HeldBack, Queue, Unit
from .reclaimer import Reclaimer
from .replay import DecisionRecord
from .snapshots import Snapshots

Outcome = Decision | Waiting
NoDecision = Waiting | GpushareError


@dataclass
class _Pass:
    """`ahead`: the units that wait already. `guaranteed`: the next may be within a guarantee.

    Units within a guarantee come first, so after the first that is not, no other is.
    """

    ahead: list[Request]
    guaranteed: bool


class PlacementService:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        machine: ObservedMachine,
        snapshots: Snapshots,
        queue: Queue,
        executor: Executor,
        acts: ActsInProgress,
        reclaimer: Reclaimer,
        termination: Termination,
    ) -> None:
        self._store, self._clock, self._machine = store, clock, machine
        self._snapshots, self._queue = snapshots, queue
        self._executor, self._reclaimer = executor, reclaimer
        self._acts, self._termination = acts, termination

    def outcome(self, request: Request) -> Outcome:
        """What would happen to a request now; raises what `decide` raises, and QuotaError."""
        state = self._snapshots.take()
        all_waiting = replace(state, queue=self._queue.requests(state))
        if reason := admission(all_waiting, request):
            return HeldBack(position=1, waits_for=reason)
        return decide(replace(state, queue=self._queue.before(state, request)), request)

    def book(self, request: Request) -> Decision:
        """Where a reservation will be placed; raises as `scheduler.book` does."""
        state = self._snapshots.take()
        all_waiting = replace(state, queue=self._queue.requests(state))
        admission(all_waiting, request)
        return book(all_waiting, request)

    def reclaimable(self, request: Request) -> bool:
        """Whether room could be taken back from others for the request."""
        state = self._snapshots.take()
        return bool(plan(replace(state, queue=self._queue.before(state, request)), request))

    def hindrance(self, share: Share) -> str:
        """What a suspended share waits for before it can be resumed; "": nothing."""
        return hindrance(self._snapshots.take(), share)

    def regrant(self, share: Share, changed: Share) -> Decision:
        """The share's decision after a change.

        Raises as `scheduler.regrant` does, and QuotaError where its tenant may not have that.
        """
        state = self._snapshots.take()
        queue = self._queue.requests(state)
        decision = regrant(replace(state, queue=queue), share, changed)
        if not share.aside and wants_more(share, replace(changed, decision=decision)):
            _check_tenant(state, changed)
        return decision

    def relocate(self, share: Share, to: Sequence[str]) -> Decision:
        """The share's decision on other GPUs; raises as `scheduler.relocate` does."""
        return relocate(self._snapshots.take(), share, to)

    def standing(self, share: ShareId) -> tuple[str, ...]:
        """A waiting share's place in the queue, and why; empty if it does not wait."""
        state = self._snapshots.take()
        requests = self._queue.requests(state)
        own = (request for request in requests if request.id == share and request.spec.at is None)
        return tuple(rank_reason(state, requests, request) for request in own)

    def borrowed(self) -> Collection[ShareId] | None:
        """Shares beyond what their tenants are guaranteed; None where there are no tenants."""
        if not self._store.policy.current().tenants:
            return None
        return tenancy(self._snapshots.take()).borrowed

    def begins(self) -> datetime | None:
        """When the next reservation begins."""
        times = (request.spec.at for request in self._queue.early(self._clock.now()))
        return min((at for at in times if at is not None), default=None)

    def waiting(self) -> dict[ShareId, Waiting]:
        """Every queued share and what it waits for."""
        state = self._snapshots.take()
        singles = [*self._queue.early(state.now), *self._queue.incomplete(state)]
        reasons = {r.id: answer for r in singles if (answer := self._waits((r,), state))}
        ahead: list[Request] = []
        for unit in self._queue.units(state):
            if answer := self._waits(unit, replace(state, queue=tuple(ahead))):
                reasons |= {request.id: answer for request in unit}
                ahead += () if isinstance(answer, HeldBack) else unit
        return reasons

    def advance(self) -> None:
        """Serve the queue in its order; give back what was reclaimed and is free again."""
        state = self._snapshots.take()
        served = _Pass([], state.policy.guarantees)
        for unit in self._queue.units(state):
            if self._serve(unit, replace(state, queue=tuple(served.ahead)), served):
                state = self._snapshots.take()
        # After the queue: what is given back must not be taken again at once.
        self._reclaimer.give_back(replace(state, queue=self._queue.requests(state)))

    async def served(self, share: ShareId) -> None:
        """Return when the grant that `advance` has begun for a share has ended."""
        await self._acts.briefly(share)

    async def room_given(self, share: ShareId) -> None:
        """Return when others have given back for the share what they are asked for."""
        if self._reclaimer.takes(share):
            await self._reclaimer.taken(share)
            self.advance()
            await self.served(share)

    def _serve(self, unit: Unit, state: Snapshot, served: _Pass) -> bool:
        """True when the state has changed."""
        answer = self._answer(unit, state)
        # A unit that its own tenant's limit holds back would not be placed even if others gave
        # room.
        if isinstance(answer, Waiting) and served.guaranteed and not isinstance(answer, HeldBack):
            reclaimed = self._take_back(unit, state)
            served.guaranteed = reclaimed or bool(unit[0].spec.at) or in_quota(state, unit[-1])
        if isinstance(answer, Waiting):
            served.ahead += () if isinstance(answer, HeldBack) else unit
            return False
        if isinstance(answer, GpushareError):
            for request in unit:
                self._executor.fail(self._store.shares.get(request.id), answer)
        else:
            self._grant(unit, state, answer)
        return True

    def _grant(self, unit: Unit, state: Snapshot, decisions: Sequence[Decision]) -> None:
        """A gang is granted as a whole: if one share cannot be granted, the others end with it."""
        for number, decision in enumerate(decisions):
            record = DecisionRecord(state=state, requests=unit, number=number, decision=decision)
            # Before the grant, so that the decision can be replayed even if granting fails.
            self._keep(unit[number].id, record)
        shares = [self._store.shares.get(request.id) for request in unit]
        decided = list(zip(shares, decisions, strict=True))
        self._acts.report(self._executor.grant(decided, Fallback(state, unit, self._keep)))

    def _keep(self, share: ShareId, record: DecisionRecord) -> None:
        self._store.decisions.put(share, self._clock.now(), record.encode())

    def _take_back(self, unit: Unit, state: Snapshot) -> bool:
        """Whether room is being taken back for the unit."""
        if self._reclaimer.takes(unit[-1].id):
            return True
        # What acts in progress leave is not taken from others as well.
        coming = self._snapshots.expected(state, self._termination.leaving())
        if isinstance(self._answer(unit, coming), tuple):
            return False
        # A gang is planned for with its last share, behind the others of the gang.
        mates = (*state.queue, *unit[:-1])
        steps = plan(replace(coming, queue=mates), unit[-1])
        self._reclaimer.take(steps, unit[-1])
        return bool(steps)

    def _waits(self, unit: Unit, state: Snapshot) -> Waiting | None:
        answer = self._answer(unit, state)
        return answer if isinstance(answer, Waiting) else None

    def _answer(self, unit: Unit, state: Snapshot) -> tuple[Decision, ...] | NoDecision:
        try:
            for request in unit:
                if reason := admission(state, request):
                    return HeldBack(position=1, waits_for=reason)
            answer = decide(state, unit[0]) if len(unit) == 1 else place_gang(state, unit)
        except GpushareError as error:
            # An error is an answer here: it ends this unit, not the pass.
            return error
        return (answer,) if isinstance(answer, Decision) else answer


def _check_tenant(state: Snapshot, changed: Share) -> None:
    """As for a new share of that size, next to the others that its tenant has."""
    others = tuple(other for other in state.shares if other.id != changed.id)
    request = Request(
        spec=changed.spec, uid=changed.uid, tenant=changed.tenant, id=changed.id, asked=state.now
    )
    if reason := admission(replace(state, shares=others), request):
        raise QuotaError(
            f"share {changed.name} cannot have more now",
            f"it would wait for {reason}",
            "see what its tenant may have: gpushare quota ls",
        )
