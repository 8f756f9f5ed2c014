# SPDX-License-Identifier: Apache-2.0
"""What holds for every tree of tenants, whatever they hold, want and have used."""

from datetime import timedelta
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Decision
from gpushare.scheduler import (
    after,
    decide,
    in_quota,
    ordered,
    overcommitted,
    plan,
    rank_reason,
    returned,
    returning,
)
from gpushare.scheduler.order.fairshare import Node, fair_shares, path
from gpushare.scheduler.order.load import of, total
from gpushare.scheduler.order.tenancy import tenancy
from gpushare.scheduler.placing.actions import can_throttle, throttled
from gpushare.scheduler.placing.relocate import relocate
from support.scheduling.random_tenants import CASES, CROWDS, QUEUES, states
from support.scheduling.small_machine import has, wish
from support.scheduling.values import NOW

HARSH = {rung: number for number, rung in enumerate(Rung)}


def fits(state, request):
    return isinstance(decide(state, request), Decision)


# --- what is taken back


def every_way(state, victims):
    """All that could be done to the victims: each one's rung, and where those go that move."""
    choices = [
        [None, *(rung for rung in Rung if _possible(state, share, rung))] for share in victims
    ]
    for rungs in product(*choices):
        measures = [(share, rung) for share, rung in zip(victims, rungs, strict=True) if rung]
        still = tuple(_action(share, rung) for share, rung in measures if rung is not Rung.MIGRATE)
        movers = [share for share, rung in measures if rung is Rung.MIGRATE]
        for moved in _every_move(after(state, still), movers):
            yield (*still, *moved)


def _possible(state, share, rung):
    return {
        Rung.THROTTLE: can_throttle(state, share),
        Rung.SUSPEND: share.id not in state.unmovable,
        Rung.MIGRATE: share.id not in state.unmigratable,
        Rung.EVICT: True,
    }[rung]


def _action(share, rung, to=None):
    if rung is Rung.THROTTLE:
        to = throttled(share.decision, [0] * len(share.decision.grants))
    return Action(share=share.id, rung=rung, why="", to=to)


def _every_move(state, movers):
    if not movers:
        yield ()
        return
    names = [one.uuid for one in state.machine.gpus]
    for to in permutations(names, len(movers[0].decision.gpus)):
        try:
            decision = relocate(state, movers[0], to)
        except GpushareError:
            continue
        action = _action(movers[0], Rung.MIGRATE, decision)
        for rest in _every_move(after(state, (action,)), movers[1:]):
            yield (action, *rest)


def victims_of(state):
    borrowed = tenancy(state).borrowed
    long_enough = NOW - timedelta(seconds=state.policy.min_runtime)
    shares = [share for share in state.shares if share.granted <= long_enough]
    return [share for share in shares if share.id in borrowed and share.spec.borrow]


def cost(state, request, actions):
    """How harsh, which shares it hits that should have been spared, and how many."""
    fair = fair_shares(replace(state, queue=(request,)))
    shares = {share.id: share for share in state.shares}
    spared = [
        (
            shares[action.share].tenant == request.tenant,
            tuple(-level for level in fair.levels(path(state, shares[action.share].tenant))),
        )
        for action in actions
    ]
    return max(HARSH[action.rung] for action in actions), max(spared), len(actions)


@given(CASES)
def test_room_is_made_for_what_is_guaranteed_whenever_it_can_be_and_by_the_best_way(case):
    state, request = case
    actions = plan(state, request)
    if fits(state, request) or not in_quota(state, request):
        assert actions == ()
        return
    ways = [
        solution
        for solution in every_way(state, victims_of(state))
        if solution and fits(after(state, solution), request)
    ]
    assert bool(actions) == bool(ways)
    if actions:
        assert fits(after(state, actions), request)
        assert cost(state, request, actions) == min(
            cost(state, request, solution) for solution in ways
        )


@given(CROWDS)
def test_what_is_guaranteed_is_never_taken_back(case):
    state, request = case
    before = tenancy(state)
    actions = plan(state, request)
    assert {action.share for action in actions} <= before.borrowed
    assert before.quota <= tenancy(after(state, actions)).quota
    strict = {share.id for share in state.shares if not share.spec.borrow}
    assert not strict & {action.share for action in actions}


@given(CROWDS)
def test_no_more_is_taken_back_than_is_needed(case):
    state, request = case
    actions = plan(state, request)
    for action in actions:
        fewer = after(state, (other for other in actions if other is not action))
        assert not fits(fewer, request)


@given(CROWDS)
def test_no_gpu_is_over_committed_by_a_plan(case):
    state, request = case
    state = after(state, plan(state, request))
    for one in state.machine.gpus:
        here = [s for s in state.shares if not s.aside]
        grants = [g for s in here for g in s.decision.grants if g.gpu == one.uuid]
        assert sum(grant.request for grant in grants) <= one.usable
        assert sum(grant.compute_request for grant in grants) <= 100


# --- no cycles


def a_round(state, waiting):
    """What the daemon does in one pass; the state, which shares wait then, and what was done."""
    done = []
    for request in ordered(state, [*waiting, *map(returned, _away(state))]):
        back = next((share for share in _away(state) if share.id == request.id), None)
        ahead = replace(state, queue=tuple(waiting))
        if back is not None:
            if not returning(ahead, back):
                state = _with(state, replace(back, suspension=None, granted=state.now))
                done.append(f"back {back.id}")
            continue
        before = ordered(ahead, waiting)
        met = replace(state, queue=before[: before.index(request)])
        actions = plan(met, request)
        state = after(state, actions)
        done += [f"{action.rung} {action.share} for {request.id}" for action in actions]
        answer = decide(replace(state, queue=met.queue), request)
        if isinstance(answer, Decision):
            waiting = [other for other in waiting if other is not request]
            share = has(request.id, request.tenant)
            share = replace(share, spec=request.spec, decision=answer, granted=state.now)
            state = replace(state, shares=(*state.shares, share))
            done.append(f"grant {request.id}")
    return replace(state, now=state.now + timedelta(seconds=700)), waiting, done


def _away(state):
    return [share for share in state.shares if share.aside]


def _with(state, changed):
    shares = (changed if share.id == changed.id else share for share in state.shares)
    return replace(state, shares=tuple(shares))


def evicted(before, after_it):
    """Shares whose programs were ended ask again."""
    gone = {share.id for share in before.shares} - {share.id for share in after_it.shares}
    return [
        replace(wish(share.tenant, name=f"{share.id}+"), spec=share.spec, asked=after_it.now)
        for share in before.shares
        if share.id in gone
    ]


@given(states(most=6), QUEUES)
@settings(max_examples=60)
def test_taking_back_comes_to_rest(state, waiting):
    waiting = [request for request in waiting if request.spec.borrow]
    log = []
    for _ in range(12):
        before = state
        state, waiting, done = a_round(state, waiting)
        waiting = [*waiting, *evicted(before, state)]
        log += done
        if not done:
            break
    assert not done, log
    line = ordered(state, waiting)
    for position, request in enumerate(line):
        assert not plan(replace(state, queue=line[:position]), request)


# --- the order


@given(states(), QUEUES)
def test_the_order_has_every_share_once_and_a_reason_for_each(state, waiting):
    line = ordered(state, waiting)
    assert sorted(request.id for request in line) == sorted(request.id for request in waiting)
    for position, request in enumerate(line, 1):
        assert rank_reason(state, waiting, request).startswith(f"{position} of {len(line)}: ")


@given(states(), QUEUES)
def test_what_is_guaranteed_goes_first(state, waiting):
    line = ordered(state, waiting)
    guaranteed = [in_quota(replace(state, queue=line[:n]), one) for n, one in enumerate(line)]
    assert guaranteed == sorted(guaranteed, reverse=True)


@given(states(), QUEUES)
def test_serving_the_first_leaves_the_others_in_their_order(state, waiting):
    waiting = [replace(r, spec=replace(r.spec, borrow=True)) for r in waiting]
    line = ordered(state, waiting)
    for position, request in enumerate(line):
        try:
            answer = decide(state, request)
        except GpushareError:
            return
        if not isinstance(answer, Decision):
            return
        share = has(request.id, request.tenant, minutes=-position)
        share = replace(share, spec=request.spec, decision=answer)
        state = replace(state, shares=(*state.shares, share))
        assert ordered(state, line[position + 1 :]) == line[position + 1 :]


@given(states(), QUEUES, QUEUES, st.integers(0, 10**5))
def test_who_has_lost_patience_is_overtaken_only_by_what_is_guaranteed(
    state, waiting, coming, seconds
):
    line = ordered(state, waiting)
    later = replace(state, now=NOW + timedelta(seconds=seconds))
    new = [replace(one, id=ShareId(f"new {one.id}"), asked=later.now) for one in coming]
    then = ordered(later, [*waiting, *new])
    classes = {one.id: in_quota(replace(later, queue=then[:n]), one) for n, one in enumerate(then)}
    for position, request in enumerate(line):
        guaranteed = in_quota(replace(state, queue=line[:position]), request)
        if NOW - request.asked > timedelta(seconds=state.policy.patience):
            ahead = {one.id for one in then[: then.index(request)]}
            overtaking = ahead - {one.id for one in line[:position]}
            assert all(classes[one] for one in overtaking)
            assert not (guaranteed and overtaking)


# --- what is fair


@given(states(gpus=3, most=8), QUEUES)
def test_all_that_is_wanted_is_given_out_and_guarantees_first(state, waiting):
    assert overcommitted(state.policy, state.machine) == ()
    shares = fair_shares(replace(state, queue=tuple(waiting)))
    whole = shares.whole
    roots = [node for node in shares.fair if path(state, node.tenant)[0] == node]
    for dimension in ("memory", "compute"):
        size = getattr(whole, dimension)
        wanted = sum(getattr(shares.wanted[node], dimension) for node in roots) / size
        given_out = sum(getattr(shares.fair[node], dimension) for node in roots)
        assert abs(given_out - min(1.0, wanted)) < 1e-6
        for node in roots:
            fair, wish = (
                getattr(shares.fair[node], dimension),
                getattr(shares.wanted[node], dimension),
            )
            owed = getattr(of(state.policy.spec(node.tenant).guaranteed), dimension)
            assert min(owed, wish) / size - 1e-6 <= fair <= wish / size + 1e-6


@given(states(gpus=3, most=8), QUEUES)
def test_children_get_together_what_their_parent_gets(state, waiting):
    fair = fair_shares(replace(state, queue=tuple(waiting))).fair
    children = [Node("lab", own=True), Node("ann"), Node("bob")]
    below = [
        fair[node]
        for node in children
        if node in fair and path(state, node.tenant)[0] == Node("lab")
    ]
    if Node("lab") in fair:
        assert abs(sum(parts.memory for parts in below) - fair[Node("lab")].memory) < 1e-6


@given(states(gpus=3, most=8))
def test_what_is_in_quota_is_no_more_than_what_all_are_guaranteed(state):
    found = tenancy(state)
    grants = [g for s in state.shares if s.id in found.quota for g in s.decision.grants]
    roots = (spec for spec in state.policy.tenants.values() if spec.parent is None)
    promised = total(of(spec.guaranteed) for spec in roots)
    assert sum(grant.request for grant in grants) <= promised.memory
    assert total(found.left.values()).within(promised)
