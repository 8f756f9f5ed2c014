# SPDX-License-Identifier: Apache-2.0
"""Serves arrivals in virtual time, as the daemon serves requests.

Model: time jumps from one event to the next: an arrival, the end of a program, the end of an act
(memory that is moved), a share that may be reclaimed from now on, a request that loses patience.
After each event the queue is served in the scheduler's order, as by the daemon's placement
(`daemon.placement.placement`): units within a guarantee may take room back, everything else waits.
Between events each program makes progress at its speed (`speeds`).

What is not modelled: a daemon's own delays, faults, host memory (there is always enough), memory
turns, and reservations, which arrive when they would begin.
"""

from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from msgspec.json import encode
from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Machine
from gpushare.model.ids import ShareId
from gpushare.model.policy.tenant import Policy
from gpushare.model.promise import Promise
from gpushare.model.value import Value
from gpushare.scheduler import (
    Request,
    Waiting,
    admission,
    decide,
    in_quota,
    ordered,
    place_gang,
    plan,
)
from gpushare.scheduler.request.gang import grouped
from gpushare.scheduler.request.state import Snapshot

from .courses import Course, Job
from .returns import next_return
from .running import Running

Unit = tuple[Request, ...]
_RETURNS = 1000  # after one event; more would be a circle


class Costs(Value):
    """`bandwidth`: bytes a second to and from host memory; `sharing`: see `speeds`.

    `end`: seconds that a program gets to end by itself.
    """

    bandwidth: float = 50 * 2**30
    sharing: float = 0.03
    end: float = 10.0


_USUAL = Costs()


class Engine:
    """One machine under one policy; `run` once."""

    def __init__(
        self,
        machine: Machine,
        promises: Sequence[Promise],
        policy: Policy,
        costs: Costs = _USUAL,
    ) -> None:
        self._policy = policy
        self._state = Snapshot(machine=machine, promises=tuple(promises), policy=policy)
        self._at = Running(machine, policy, costs)
        self._events: list[tuple[float, int, str, Any]] = []
        self._number = count()
        self._queue: dict[ShareId, Request] = {}
        self._come: set[ShareId] = set()  # since the queue was served
        self._held_back: set[ShareId] = set()  # by limits of their tenants
        self._again = False  # room may have been made since then
        self._answers: dict[tuple[Any, ...], Any] = {}  # see `_alone`
        self._taking: dict[ShareId, int] = {}  # actions in progress for a request

    def run(self, jobs: Iterable[Job], until: float) -> list[Course]:
        """What became of the jobs, in their order, up to a time."""
        jobs = list(jobs)
        for job in jobs:
            self._plan(job.at, "arrive", job)
        while True:
            ahead = self._events[0][0] if self._events else until
            at = min(ahead, self._at.next_end(), until)
            ended = self._at.advance(at)
            if at >= until:
                break
            while self._events and self._events[0][0] <= at:
                _, _, what, about = heappop(self._events)
                getattr(self, f"_{what}")(about)
            self._serve(again=ended)
        return [self._at.course(job) for job in jobs]

    def _plan(self, at: float, what: str, about: object) -> None:
        heappush(self._events, (at, next(self._number), what, about))

    # Events.

    def _arrive(self, job: Job) -> None:
        self._at.know(job)
        self._queue[job.id] = self._at.request(job)
        self._come.add(job.id)
        if job.patience is not None:
            self._plan(self._at.now + job.patience, "leave", job.id)

    def _leave(self, name: ShareId) -> None:
        if self._queue.pop(name, None):
            self._again = True
            self._at.left(name)

    def _tick(self, _: object) -> None:
        """A share may be reclaimed from now on."""
        self._again = True

    def _moved(self, about: tuple[ShareId, ShareId]) -> None:
        share, request = about
        self._at.suspended(share)
        self._done(request)

    def _back(self, name: ShareId) -> None:
        self._at.returned(name)

    def _stopped(self, about: tuple[ShareId, ShareId]) -> None:
        share, request = about
        if again := self._at.evicted(share):
            self._queue[share] = again
        self._done(request)

    def _done(self, request: ShareId) -> None:
        self._again = True
        self._taking[request] -= 1
        if not self._taking[request]:
            del self._taking[request]

    # Serving the queue.

    def _serve(self, *, again: bool) -> None:
        """Until nothing changes any more. `again`: there may be more room than before.

        A grant leaves no more room than there was, so what waits need not be asked again after one;
        and while only requests have come, only these are asked.
        """
        come, self._come = self._come, set()
        again, self._again = again or self._again, False
        while (come or again) and self._queue and self._pass(None if again else come):
            come, again = set(), self._again
            self._again = False
        for _ in range(_RETURNS):
            if not self._at.reclaimed() or not self._give_back():
                return

    def _snapshot(self) -> Snapshot:
        return self._at.snapshot(self._state)

    def _pass(self, only: Collection[ShareId] | None) -> bool:
        """The queue in its order; each grant shows in what the next unit sees.

        `only`: units with one of these are asked, the others are known to wait.
        """
        state = self._snapshot()
        ahead: list[Request] = []
        guaranteed, changed = state.policy.guarantees, False
        for unit in grouped(ordered(state, tuple(self._queue.values()))):
            here = replace(state, queue=tuple(ahead))
            if only is not None and not any(request.id in only for request in unit):
                ahead += () if unit[-1].id in self._held_back else unit
                continue
            held_back, answer = self._answered(here, unit)
            if not isinstance(answer, Waiting):
                self._settle(unit, answer)
                state, changed = self._snapshot(), True
                continue
            if guaranteed and not held_back:
                reclaimed = self._take_back(here, unit)
                state, changed = (self._snapshot(), True) if reclaimed else (state, changed)
                # Units within a guarantee come first: after one that is not, no other is.
                guaranteed = unit[-1].id in self._taking or in_quota(here, unit[-1])
            (self._held_back.add if held_back else self._held_back.discard)(unit[-1].id)
            ahead += () if held_back else unit
        return changed

    def _answered(self, state: Snapshot, unit: Unit) -> tuple[bool, Any]:
        """As `answered`. What would wait with nothing ahead of it waits behind others too; that is
        quicker to find, and the same for all units of one tenant that ask for the same."""
        if state.queue and isinstance(self._alone(state, unit), Waiting):
            held_back = held(state, unit)
            return isinstance(held_back, Waiting), held_back or self._alone(state, unit)
        return answered(state, unit)

    def _alone(self, state: Snapshot, unit: Unit) -> Any:
        key = (self._at.changes, unit[0].tenant, *(encode((it.spec, it.uid)) for it in unit))
        if key not in self._answers:
            self._answers = {it: found for it, found in self._answers.items() if it[0] == key[0]}
            self._answers[key] = placed(replace(state, queue=()), unit)
        return self._answers[key]

    def _settle(self, unit: Unit, answer: Any) -> None:
        for number, request in enumerate(unit):
            del self._queue[request.id]
            if isinstance(answer, GpushareError):
                self._again = True
                self._at.refused(request.id, str(answer))
            else:
                self._at.granted(request.id, answer[number])
                self._reclaimable()

    def _take_back(self, state: Snapshot, unit: Unit) -> bool:
        """Whether room is taken back from now on; False also while that is in progress."""
        if unit[-1].id in self._taking:
            return False
        coming = self._at.expected(state)
        if isinstance(answered(coming, unit)[1], tuple):
            return False
        steps = plan(replace(coming, queue=(*state.queue, *unit[:-1])), unit[-1])
        return self._begin(steps, unit[-1].id)

    def _begin(self, steps: Sequence[Any], request: ShareId) -> bool:
        """One action after another; each has ended when the next begins."""
        at = self._at.now
        for action in steps:
            kind, seconds = self._at.begin(action)
            at += seconds
            self._taking[request] = self._taking.get(request, 0) + 1
            self._plan(at, kind, (action.share, request))
        return bool(steps)

    def _throttled(self, about: tuple[ShareId, ShareId]) -> None:
        self._at.adjusted(about[0])
        self._done(about[1])

    def _give_back(self) -> bool:
        state = replace(self._snapshot(), queue=tuple(self._queue.values()))
        found = next_return(state, self._at.reclaimed(), self._at.leaving | set(self._taking))
        if found is None:
            return False
        if found.actions:
            return self._begin(found.actions, found.share.id)
        if found.decision is not None:
            self._at.restored(found.share.id, found.decision)
        else:
            self._plan(self._at.now + self._at.resumes(found.share.id), "back", found.share.id)
            self._reclaimable()
        return True

    def _reclaimable(self) -> None:
        """From then on a share that has its place now may be reclaimed."""
        if self._policy.guarantees:
            self._plan(self._at.now + self._policy.min_runtime, "tick", None)


def answered(state: Snapshot, unit: Unit) -> tuple[bool, Any]:
    """Whether its tenant's limit holds the unit back, and decisions, Waiting or an error."""
    held_back = held(state, unit)
    return isinstance(held_back, Waiting), held_back or placed(state, unit)


def held(state: Snapshot, unit: Unit) -> Waiting | GpushareError | None:
    """What its tenant's limits say about the unit; None: nothing."""
    try:
        for request in unit:
            if reason := admission(state, request):
                return Waiting(position=1, waits_for=reason)
    except GpushareError as error:
        return error
    return None


def placed(state: Snapshot, unit: Unit) -> Any:
    """Decisions, Waiting, or an error: it can never be placed."""
    try:
        answer = decide(state, unit[0]) if len(unit) == 1 else place_gang(state, unit)
    except GpushareError as error:
        return error
    return answer if isinstance(answer, Waiting | tuple) else (answer,)
