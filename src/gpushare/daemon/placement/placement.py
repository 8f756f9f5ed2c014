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
    plan,
    rank_reason,
    regrant,
    wants_more,
)
from gpushare.scheduler.order.tenancy import tenancy
from gpushare.scheduler.placing.fit import as_candidate
from gpushare.scheduler.placing.relocate import relocate
from gpushare.scheduler.request.gang import grouped
from gpushare.store import Store

from .fallback import Fallback
from .queue import HeldBack, Queue, Unit, before
from .reasons import Reasons
from .reclaimer import Reclaimer
from .replay import DecisionRecord
from .serving import Serving, WaitingUnits, known
from .snapshots import Snapshots

Outcome = Decision | Waiting


@dataclass
class _Pass:
    """`serving`: the state, behind the units that wait already. `waiting`: all that wait, and
    whether each is held back. `guaranteed`: the next may be within a guarantee.

    Units within a guarantee come first, so after the first that is not, no other is.
    """

    serving: Serving
    guaranteed: bool
    waiting: list[tuple[Unit, bool]]

    def add(self, unit: Unit, *, held_back: bool) -> None:
        """The unit waits; one that is held back blocks no other."""
        self.waiting.append((unit, held_back))
        if not held_back:
            self.serving.add(unit)


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
        self._known: WaitingUnits | None = None
        self._reasons = Reasons()

    def outcome(self, request: Request) -> Outcome:
        """What would happen to a request now; raises what `decide` raises, and QuotaError."""
        state = self._snapshots.take()
        requests = self._queue.requests(state)
        if reason := admission(replace(state, queue=requests), request):
            return HeldBack(position=1, waits_for=reason)
        return decide(replace(state, queue=before(state, requests, request)), request)

    def check(self, request: Request) -> None:
        """Raises as `outcome` does; what a request that may wait would get is not looked for."""
        state = self._snapshots.take()
        all_waiting = replace(state, queue=self._queue.requests(state))
        admission(all_waiting, request)
        # A gang may fit nowhere although each of its shares would.
        if request.spec.gang is None:
            as_candidate(state, request)
        else:
            decide(all_waiting, request)

    def book(self, request: Request) -> Decision:
        """Where a reservation will be placed; raises as `scheduler.book` does."""
        state = self._snapshots.take()
        all_waiting = replace(state, queue=self._queue.requests(state))
        admission(all_waiting, request)
        return book(all_waiting, request)

    def reclaimable(self, request: Request) -> bool:
        """Whether room could be taken back from others for the request."""
        state = self._snapshots.take()
        earlier = before(state, self._queue.requests(state), request)
        return bool(plan(replace(state, queue=earlier), request))

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
        requests = self._queue.requests(state)
        units = grouped(requests)
        served = {request.id for unit in units for request in unit}
        incomplete = [request for request in requests if request.id not in served]
        return self._reasons.of(state, [*self._queue.early(state.now), *incomplete], units)

    def advance(self) -> None:
        """Serve the queue in its order; give back what was reclaimed and is free again."""
        state = self._snapshots.take()
        requests = self._queue.requests(state)
        units = grouped(requests)
        served = _Pass(Serving(state), state.policy.guarantees, [])
        known_to_wait = self._known.waiting(state, units) if self._known else ()
        for unit, held_back in known_to_wait:
            served.add(unit, held_back=held_back)
        changed = False
        for unit in units[len(known_to_wait) :]:
            if self._serve(unit, served):
                state, changed = self._snapshots.take(), True
                served.serving = served.serving.on(state)
        if changed:
            requests = self._queue.requests(state)
        # A grant may let another wait no longer, one that wants a neighbour.
        self._known = None if changed else known(state, served.waiting)
        # After the queue: what is given back must not be taken again at once.
        self._reclaimer.give_back(replace(state, queue=requests))

    async def served(self, share: ShareId) -> None:
        """Return when the grant that `advance` has begun for a share has ended."""
        await self._acts.briefly(share)

    async def room_given(self, share: ShareId) -> None:
        """Return when others have given back for the share what they are asked for."""
        if self._reclaimer.takes(share):
            await self._reclaimer.taken(share)
            self.advance()
            await self.served(share)

    def _serve(self, unit: Unit, served: _Pass) -> bool:
        """True when the state has changed."""
        answer, state = served.serving.answer(unit, explain=False), served.serving.state
        # A unit that its own tenant's limit holds back would not be placed even if others gave
        # room.
        if isinstance(answer, Waiting) and served.guaranteed and not isinstance(answer, HeldBack):
            reclaimed = self._take_back(unit, state)
            served.guaranteed = reclaimed or bool(unit[0].spec.at) or in_quota(state, unit[-1])
        if isinstance(answer, Waiting):
            served.add(unit, held_back=isinstance(answer, HeldBack))
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
        behind = Serving(replace(coming, queue=()), grouped(coming.queue))
        if isinstance(behind.answer(unit, explain=False), tuple):
            return False
        # A gang is planned for with its last share, behind the others of the gang.
        mates = (*state.queue, *unit[:-1])
        steps = plan(replace(coming, queue=mates), unit[-1])
        self._reclaimer.take(steps, unit[-1])
        return bool(steps)


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
