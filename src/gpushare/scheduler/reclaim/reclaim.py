# SPDX-License-Identifier: Apache-2.0
"""Takes borrowed capacity back for a request that is guaranteed it.

Only requests within a guarantee take back, and only from shares that have borrowed. Of all ways to
make room the gentlest is used: a rung of the ladder only when the rungs below it make room on no
GPU. Among those, the one that takes from tenants with the most of their fair share, from the
request's own tenant last. Then the one that hits fewest shares, moves least memory and loses least
work.
"""

from bisect import bisect_left
from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Share
from gpushare.scheduler.order.fairshare import fair_shares, path
from gpushare.scheduler.order.load import held
from gpushare.scheduler.order.tenancy import in_quota, since, tenancy
from gpushare.scheduler.placing.actions import can_throttle
from gpushare.scheduler.request.state import Request, Snapshot

from .search import Area, Goal, Search, Solution, Victim

_COMPARED = 8  # sets of GPUs where as many are hit


def plan(state: Snapshot, request: Request) -> tuple[Action, ...]:
    """What to do, in this order, so that the request fits; empty: nothing, see `why_no_plan`.

    `state.queue` goes before it. When all actions are done `decide` places the request, unless
    the state has changed meanwhile. A request with the id of a suspended share, as `returned` makes
    it, means its return. Nothing within a guarantee is touched, and no more taken than is needed.
    """
    return _planned(state, request)[0]


def why_no_plan(state: Snapshot, request: Request) -> str:
    """One sentence: why nothing is taken back for the request; "" when there is a plan."""
    return _planned(state, request)[1]


def _planned(state: Snapshot, request: Request) -> tuple[tuple[Action, ...], str]:
    state = replace(state, queue=tuple(r for r in state.queue if not _same(r, request)))
    goal = Goal(state, request)
    if goal.met(state):
        return (), "there is room for it"
    if not in_quota(state, request):
        return (), "it would borrow, and only for what is guaranteed others give back"
    victims = _victims(state, request)
    if not victims:
        return (), "no share has borrowed anything for long enough to give it back"
    ladder = tuple(rung for rung in Rung if rung in state.policy.ladder)
    areas = [area for area in goal.areas() if Search(goal, area, ladder).enough(victims)]
    for height in range(1, len(ladder) + 1 if areas else 0):
        if actions := _gentlest(goal, areas, victims, ladder[:height]):
            return tuple(_explained(state, victims, action) for action in actions), ""
    return (), "what may be taken back from others would not make room for it"


def _same(one: Request, other: Request) -> bool:
    return one == other or (bool(one.id) and one.id == other.id)


def _gentlest(
    goal: Goal, areas: Sequence[Area], victims: Sequence[Victim], rungs: tuple[Rung, ...]
) -> tuple[Action, ...]:
    """With these rungs, and from tenants with the most of their fair share."""
    searches = [Search(goal, area, rungs) for area in areas]
    searches = [search for search in searches if search.enough(victims)]
    if not searches:
        return ()
    lines = [
        [victim for victim in victims if victim.spared <= last]
        for last in sorted({victim.spared for victim in victims})
    ]
    # More victims never leave less room, so halving finds the fewest tenants to take from.
    first = bisect_left(lines, True, key=lambda some: any(s.enough(some) for s in searches))
    return _cheapest(searches, lines[first])


def _cheapest(searches: Sequence[Search], victims: Sequence[Victim]) -> tuple[Action, ...]:
    """Of the sets of GPUs the one where fewest are hit; where that cannot be, it is not tried.

    Of those where as many are hit, some are compared.
    """
    best: tuple[Solution, Search] | None = None
    compared = 0
    for search in sorted(searches, key=lambda search: search.fewest(victims)):
        spare = 0 if best is None else len(best[0].measures) - search.fewest(victims)
        if spare < 0 or (spare == 0 and compared >= _COMPARED):
            break
        if solution := search.best(victims):
            compared += 1
            if best is None or solution.cost < best[0].cost:
                best = solution, search
    return best[1].eased(best[0]) if best else ()


def _victims(state: Snapshot, request: Request) -> list[Victim]:
    """Shares that have borrowed and run long enough, in the order in which they are taken from."""
    borrowed, loads = tenancy(state).borrowed, held(state)
    # The request counts as wanted, because what is fair depends on all that is wanted.
    fair = fair_shares(replace(state, queue=(*state.queue, request)))
    victims = []
    for share in state.shares:
        if share.id in borrowed and share.spec.borrow and _settled(state, share):
            high = tuple(-level for level in fair.levels(path(state, share.tenant)))
            spared = share.tenant == request.tenant, high
            victims.append(Victim(share, loads[share.id], spared, _rungs(state, share)))
    return sorted(victims, key=lambda victim: (victim.spared, -since(victim.share)))


def _settled(state: Snapshot, share: Share) -> bool:
    return state.now is None or state.now.timestamp() - since(share) >= state.policy.min_runtime


def _rungs(state: Snapshot, share: Share) -> frozenset[Rung]:
    possible = {
        Rung.THROTTLE: can_throttle(state, share),
        Rung.SUSPEND: share.id not in state.unmovable,
        Rung.MIGRATE: share.id not in state.unmigratable,
        Rung.EVICT: True,
    }
    return frozenset(rung for rung in state.policy.ladder if possible[rung])


def _explained(state: Snapshot, victims: Sequence[Victim], action: Action) -> Action:
    victim = next(victim for victim in victims if victim.share.id == action.share)
    reason = "it has borrowed, and the room is guaranteed to a share that needs it"
    what = f"{reason}: {_describe(state, action)}"
    return replace(action, why="; ".join((what, *_excuses(state, victim, action.rung))))


def _describe(state: Snapshot, action: Action) -> str:
    match action.rung, action.to:
        case Rung.THROTTLE, to if to is not None:
            figures = " and ".join(f"{grant.compute_request} %" for grant in to.grants)
            return f"of its guaranteed compute {figures} are left"
        case Rung.MIGRATE, to if to is not None:
            names = {gpu.uuid: f"GPU {gpu.index}" for gpu in state.machine.gpus}
            return f"moved to {' and '.join(names[gpu] for gpu in to.gpus)}"
        case Rung.SUSPEND, _:
            return "suspended until there is room again"
    return "ended"


def _excuses(state: Snapshot, victim: Victim, rung: Rung) -> list[str]:
    """Why it is not something gentler."""
    unmovable, unmigratable = (
        why.get(victim.share.id) for why in (state.unmovable, state.unmigratable)
    )
    reasons = []
    if unmovable and rung in {Rung.MIGRATE, Rung.EVICT}:
        reasons.append(f"it cannot be suspended: {unmovable}")
    if unmigratable and rung is Rung.EVICT:
        reasons.append(f"it cannot move: {unmigratable}")
    return reasons or (["nothing gentler is enough"] if rung is not Rung.THROTTLE else [])
