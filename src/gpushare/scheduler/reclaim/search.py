# SPDX-License-Identifier: Apache-2.0
"""Searches the least that must be done to some shares so that there is room for another.

Model: a *goal* is met when the request can be placed (or a suspended share resumed). An *area* is
a set of GPUs that the request could get. A *victim* is a share that has borrowed, with the rungs of
the ladder that are possible for it. *Measures* are pairs of victim and rung; realising them gives
*actions* (with the places of shares that move), and the state after the actions shows whether the
goal is met. A *solution* is measures that meet it.

The search takes the harshest permitted measure for all victims, then spares victims: first sets of
few victims, in full up to a bound, then one by one. At last each measure is softened as far as the
goal stays met. So it is exact for few victims, and greedy, but never wrong, for many.

Invariants: a solution was verified by `decide` on the state after its actions. No rung beyond those
given is used. Shares not in a solution keep their decisions. The bounds below limit the time, and
only ever make a solution larger than necessary.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, combinations, islice
from math import comb
from typing import NamedTuple

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId
from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Decision, Share
from gpushare.model.units import FULL, Percent
from gpushare.scheduler.capacity.room import grant_on, rooms
from gpushare.scheduler.order.load import Load
from gpushare.scheduler.order.tenancy import since
from gpushare.scheduler.placing.actions import after, has_place, may_use, moves, throttled
from gpushare.scheduler.placing.decide import decide
from gpushare.scheduler.request.state import Request, Snapshot

from .resume import kept_out

_AREAS = 128  # sets of GPUs that are tried one by one; with more it is all of them at once
_SETS = 128  # sets of victims that are tried; with more they are spared one by one
_PLACES = 32  # ways to move victims elsewhere that are tried
_COMPARED = 8  # sets of victims of the same size that are compared in full
_STAY = (Rung.EVICT, Rung.SUSPEND, Rung.MIGRATE, Rung.THROTTLE)
_MOVE = (Rung.MIGRATE, Rung.SUSPEND, Rung.THROTTLE)
HARSH = {rung: number for number, rung in enumerate(Rung)}

Area = frozenset[GpuId]
Measures = tuple[tuple["Victim", Rung], ...]


class Victim(NamedTuple):
    """`spared`: the smallest is taken from first."""

    share: Share
    load: Load
    spared: tuple[bool, tuple[float, ...]]
    rungs: frozenset[Rung]

    @property
    def gpus(self) -> Area:
        """Empty without a decision."""
        return frozenset(self.share.decision.gpus if self.share.decision else ())


class Solution(NamedTuple):
    """Measures that make room, and the actions that they come to."""

    measures: Measures
    actions: tuple[Action, ...]

    @property
    def cost(self) -> tuple[int, list[int], int, float]:
        """Shares hit, how harshly, bytes moved, work lost; the smallest is best."""
        harsh = sorted((HARSH[rung] for _, rung in self.measures), reverse=True)
        moved = [v.load.memory for v, rung in self.measures if rung in {Rung.SUSPEND, Rung.MIGRATE}]
        return len(self.measures), harsh, sum(moved), -sum(since(v.share) for v, _ in self.measures)


class Goal:
    """What the actions are for: that a request is placed, or that a suspended share is resumed."""

    def __init__(self, state: Snapshot, request: Request) -> None:
        self.state, self.request = state, request
        self._share = next((s for s in state.shares if s.id == request.id and s.aside), None)

    def met(self, state: Snapshot, area: Area | None = None) -> bool:
        """Whether the state has room for the request; on the GPUs of `area`, if given."""
        if self._share is not None:
            return not kept_out(state, self._share)
        try:
            return isinstance(decide(state, _on(self.request, area)), Decision)
        except GpushareError:
            return False

    def lack(self, area: Area) -> int:
        """Bytes that are certainly missing there."""
        spec = self.request.spec
        if self._share is not None or spec.gpus != len(area):
            return 0
        here = [room for room in rooms(self.state) if room.gpu.uuid in area]
        lacks = (grant_on(room.gpu, spec).request - room.free(turns=spec.turns) for room in here)
        return sum(max(0, lack) for lack in lacks)

    def areas(self) -> list[Area]:
        """The sets of GPUs that it could get; all of them at once where there are too many."""
        spec = self.request.spec
        gpus = [gpu for gpu in self.state.machine.gpus if may_use(spec, gpu)]
        if spec.gang is not None or comb(len(gpus), spec.gpus) > _AREAS:
            return [frozenset(gpu.uuid for gpu in gpus)]
        return [frozenset(gpu.uuid for gpu in some) for some in combinations(gpus, spec.gpus)]


def _on(request: Request, area: Area | None) -> Request:
    """The request bound to the area; a gang is never bound, for its members share it out."""
    if area is None or request.spec.gang is not None:
        return request
    return replace(request, spec=replace(request.spec, gpu=tuple(sorted(area))))


class Search:
    """For room on one set of GPUs, with nothing harsher than the last of the rungs."""

    def __init__(self, goal: Goal, area: Area, rungs: Sequence[Rung]) -> None:
        self._goal, self._area, self._rungs = goal, area, frozenset(rungs)
        # Ending a share makes at least as much room as moving it, so where shares may be ended,
        # moves need no search of their own.
        self._moving = Rung.MIGRATE in rungs and Rung.EVICT not in rungs
        self._lack = goal.lack(area)

    def enough(self, victims: Sequence[Victim]) -> bool:
        """Whether taking from all of them makes room."""
        return any(self._solution(pool) for pool in self._pools(victims))

    def best(self, victims: Sequence[Victim]) -> Solution | None:
        """The cheapest solution that the bounds of the search allow.

        None if all victims are not enough.
        """
        for pool in self._pools(victims):
            if solution := self._smallest(pool):
                return solution
        return None

    def eased(self, solution: Solution) -> tuple[Action, ...]:
        """The actions, with as much compute left to throttled shares as possible."""
        actions = list(solution.actions)
        for number, action in enumerate(solution.actions):
            grants = action.to.grants if action.rung is Rung.THROTTLE and action.to else ()
            for place, _ in enumerate(grants):
                actions[number] = self._most(actions, number, place)
        return tuple(actions)

    def _pools(self, victims: Sequence[Victim]) -> Iterator[list[Victim]]:
        """Victims on the GPUs; then also others, to make room for shares that move there."""
        usable = [victim for victim in victims if self._possible(victim)]
        near = [victim for victim in usable if victim.gpus & self._area]
        yield near
        if self._moving and len(near) < len(usable):
            yield usable

    def _smallest(self, pool: Sequence[Victim]) -> Solution | None:
        whole = self._solution(pool)
        if whole is None:
            return None
        few = self._spared(whole)
        for size in range(self.fewest(pool), len(few.measures) + 1):
            if comb(len(pool), size) > _SETS:
                break  # too many sets: the greedy solution stays
            if solutions := [
                solution for some in combinations(pool, size) if (solution := self._solution(some))
            ]:
                first = sorted(solutions, key=_weight)[:_COMPARED]
                return min(
                    (self._softened(solution) for solution in first),
                    key=lambda solution: solution.cost,
                )
        return self._softened(few)

    def fewest(self, victims: Sequence[Victim]) -> int:
        """No fewer of them than this many free enough memory, if all that they have is freed."""
        freed = sorted((self._on_area(victim) for victim in victims), reverse=True)
        sums = accumulate(freed, initial=0)
        return max(1, next((n for n, sum_ in enumerate(sums) if sum_ >= self._lack), len(freed)))

    def _on_area(self, victim: Victim) -> int:
        grants = victim.share.decision.grants if victim.share.decision else ()
        return sum(grant.request for grant in grants if grant.gpu in self._area)

    def _solution(self, victims: Sequence[Victim]) -> Solution | None:
        """By the harshest that may be done to each of them."""
        for order in (_STAY, _MOVE) if self._moving else (_STAY,):
            measures = tuple(
                (v, measure) for v in victims if (measure := self._first(v, order)) is not None
            )
            if solution := self._realised(measures):
                return solution
        return None

    def _first(self, victim: Victim, order: Sequence[Rung]) -> Rung | None:
        possible = self._possible(victim)
        return next((rung for rung in order if rung in possible), None)

    def _possible(self, victim: Victim) -> frozenset[Rung]:
        """A share on other GPUs makes no room here by moving."""
        far = frozenset() if victim.gpus & self._area else frozenset({Rung.MIGRATE})
        return (victim.rungs & self._rungs) - far

    def _realised(self, measures: Measures) -> Solution | None:
        still = tuple(
            _action(victim, rung) for victim, rung in measures if rung is not Rung.MIGRATE
        )
        movers = [victim for victim, rung in measures if rung is Rung.MIGRATE]
        # The largest first: small ones still fit into what is left.
        movers.sort(key=lambda victim: -victim.load.memory)
        state = after(self._goal.state, still)
        for moved in islice(self._placed(state, movers), _PLACES):
            if self._goal.met(after(state, moved), self._area):
                return _solution(measures, (*still, *moved))
        return None

    def _placed(self, state: Snapshot, movers: Sequence[Victim]) -> Iterator[tuple[Action, ...]]:
        if not movers:
            yield ()
            return
        for actions in self._moved(state, movers[0]):
            for rest in self._placed(after(state, actions), movers[1:]):
                yield (*actions, *rest)

    def _moved(self, state: Snapshot, victim: Victim) -> Iterator[tuple[Action, ...]]:
        """Somewhere else; or what can be done to it where it is, if others can move instead."""
        for to in moves(state, victim.share, self._left_by(victim)):
            yield (_action(victim, Rung.MIGRATE, to),)
        instead = self._first(victim, (Rung.SUSPEND, Rung.THROTTLE))
        yield (_action(victim, instead),) if instead is not None else ()

    def _left_by(self, victim: Victim) -> Area:
        everywhere = len(self._area) == len(self._goal.state.machine.gpus)
        return victim.gpus if everywhere else self._area

    def _spared(self, solution: Solution) -> Solution:
        """Without those that need not be hit: the smallest are spared first."""
        for measure in sorted(
            solution.measures, key=lambda measure: (measure[0].load.memory, measure[0].load.compute)
        ):
            fewer = tuple(other for other in solution.measures if other[0] is not measure[0])
            solution = self._realised(fewer) or solution
        return solution

    def _softened(self, solution: Solution) -> Solution:
        """With a gentler act for each share where that is still enough."""
        for victim, rung in reversed(solution.measures):
            for gentler in Rung:
                if gentler is rung:
                    break
                if gentler in self._possible(victim):
                    measures = tuple(
                        (v, gentler if v is victim else measure) for v, measure in solution.measures
                    )
                    if softer := self._realised(measures):
                        solution = softer
                        break
        return solution

    def _most(self, actions: Sequence[Action], number: int, place: int) -> Action:
        """The step that leaves most to the share on one of its GPUs; more leaves less room."""
        low, high = 0, int(FULL)
        while low < high:
            middle = (low + high + 1) // 2
            action = self._left(actions[number], place, middle)
            changed = (*actions[:number], action, *actions[number + 1 :])
            low, high = (middle, high) if self._holds(changed) else (low, middle - 1)
        return self._left(actions[number], place, low)

    def _holds(self, actions: Sequence[Action]) -> bool:
        """Whether shares that move have room there, and the actions are enough."""
        state = self._goal.state
        for action in actions:
            if action.rung is Rung.MIGRATE and not has_place(state, action):
                return False
            state = after(state, (action,))
        return self._goal.met(state, self._area)

    def _left(self, action: Action, place: int, percent: int) -> Action:
        """Never more than the share has now."""
        share = next(share for share in self._goal.state.shares if share.id == action.share)
        assert share.decision is not None
        assert action.to is not None
        figures = [grant.compute_request for grant in action.to.grants]
        figures[place] = Percent(percent)
        return replace(action, to=throttled(share.decision, figures))


def _solution(measures: Measures, actions: tuple[Action, ...]) -> Solution:
    done = {action.share: action.rung for action in actions}
    victims = [victim for victim, _ in measures if victim.share.id in done]
    return Solution(tuple((victim, done[victim.share.id]) for victim in victims), actions)


def _weight(solution: Solution) -> tuple[int, float]:
    """A first guess at what it costs: what the shares have, and how old they are."""
    return sum(v.load.memory for v, _ in solution.measures), -sum(
        since(v.share) for v, _ in solution.measures
    )


def _action(victim: Victim, rung: Rung, to: Decision | None = None) -> Action:
    decision = victim.share.decision
    if rung is Rung.THROTTLE and decision is not None:
        to = throttled(decision, (0 for _ in decision.grants))
    return Action(share=victim.share.id, rung=rung, why="", to=to)
