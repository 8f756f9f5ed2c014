# SPDX-License-Identifier: Apache-2.0
"""How borrowed capacity is taken back, and given back."""

import pytest
from msgspec.structs import replace

from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Cause, Decision
from gpushare.model.spec import Gang, MechanismName, ShareSpec
from gpushare.model.units import GIB, MIB
from gpushare.scheduler import (
    Request,
    Waiting,
    after,
    decide,
    plan,
    returned,
    returning,
    saturation,
    why_no_plan,
)
from gpushare.scheduler.order.tenancy import tenancy
from support.scheduling.small_machine import amount, aside, has, lab, policy, tenant, wish
from support.scheduling.values import NOW, gpu

RULES = policy({"ann": tenant(40, 50), "bob": tenant(), "eve": tenant()})


def measures(state, request):
    """The steps as short words; the request fits afterwards, and did not before."""
    actions = plan(state, request)
    if not actions:
        assert why_no_plan(state, request)
        return []
    assert isinstance(decide(state, request), Waiting)
    assert isinstance(decide(after(state, actions), request), Decision)
    assert why_no_plan(state, request) == ""
    assert all(action.why for action in actions)
    return [f"{action.rung} {action.share}" for action in actions]


def test_nothing_is_taken_back_while_there_is_room():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 40),))
    assert measures(state, wish("ann", 40)) == []
    assert why_no_plan(state, wish("ann", 40)) == "there is room for it"


def test_who_would_borrow_takes_nothing_back():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 80),))
    assert measures(state, wish("eve", 8)) == []
    assert "it would borrow" in why_no_plan(state, wish("ann", 41))


def test_what_is_guaranteed_is_not_taken_back():
    rules = policy({"ann": tenant(40), "bob": tenant(40)})
    state = lab(rules, gpu(), shares=(has("b", "bob", 40), has("a", "ann", 30)))
    assert measures(state, wish("ann", 11)) == []
    assert "borrow" in why_no_plan(state, wish("ann", 11))
    crowded = lab(rules, gpu(0, 79), shares=(has("b", "bob", 40), has("a", "ann", 30)))
    assert measures(crowded, wish("ann", 10)) == []
    assert "no share has borrowed" in why_no_plan(crowded, wish("ann", 10))


def test_a_borrowed_share_is_suspended_for_who_is_guaranteed_its_room():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 60),))
    assert measures(state, wish("ann", 40)) == ["suspend b"]
    (action,) = plan(state, wish("ann", 40))
    assert action.why.startswith("it has borrowed")
    assert "ann" not in action.why


def test_no_more_is_taken_than_is_needed():
    shares = tuple(has(f"b{n}", "bob", 20) for n in range(4))
    state = lab(RULES, gpu(), shares=shares)
    assert len(measures(state, wish("ann", 40))) == 2
    assert len(measures(state, wish("ann", 20))) == 1


def test_the_fewest_shares_are_hit_and_then_the_least_memory_moves():
    shares = (
        has("b1", "bob", 10),
        has("b2", "bob", 10),
        has("b3", "bob", 25),
        has("b4", "bob", 35),
    )
    state = lab(RULES, gpu(), shares=shares)
    assert measures(state, wish("ann", 20)) == ["suspend b3"]


def test_of_equal_shares_the_youngest_loses_least():
    shares = (has("old", "bob", 40, minutes=90), has("young", "bob", 40, minutes=10))
    assert measures(lab(RULES, gpu(), shares=shares), wish("ann", 40)) == ["suspend young"]


def test_a_share_keeps_its_place_for_the_least_time():
    rules = replace(RULES, min_runtime=600)
    shares = (has("old", "bob", 40, minutes=10), has("young", "bob", 40, minutes=9))
    assert measures(lab(rules, gpu(), shares=shares), wish("ann", 40)) == ["suspend old"]
    assert measures(lab(rules, gpu(), shares=shares[1:]), wish("ann", 41)) == []


def test_the_most_saturated_tenant_gives_first():
    shares = (has("b", "bob", 30), has("e1", "eve", 25), has("e2", "eve", 25))
    state = lab(RULES, gpu(), shares=shares)
    assert measures(state, wish("ann", 25)) in (["suspend e1"], ["suspend e2"])
    assert sorted(measures(state, wish("ann", 30))) == ["suspend e1", "suspend e2"]


def test_shares_of_ones_own_are_taken_last():
    rules = policy({"ann": tenant(40), "bob": tenant(10), "eve": tenant()})
    own = has("a", "ann", 41, minutes=30)
    state = lab(rules, gpu(), shares=(own, has("e", "eve", 30)))
    assert measures(state, wish("ann", 30)) == ["suspend e"]
    assert measures(state, wish("ann", 40)) == ["suspend a"]


def test_who_never_borrows_is_never_taken_from():
    strict = has("e", "eve", 60, borrow=False)
    assert measures(lab(RULES, gpu(), shares=(strict,)), wish("ann", 40)) == []


def test_compute_is_taken_back_while_the_share_runs():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 20, 80),))
    assert measures(state, wish("ann", 20, 50)) == ["throttle b"]
    (action,) = plan(state, wish("ann", 20, 50))
    assert action.to.grants[0].compute_request == 50
    assert action.to.grants[0].request == 20 * GIB
    assert "50 % are left" in action.why


def test_compute_is_taken_back_only_as_far_as_needed():
    state = lab(RULES, gpu(), shares=(has("b1", "bob", 10, 40), has("b2", "bob", 10, 40)))
    actions = plan(state, wish("ann", 20, 50))
    left = {action.share: action.to.grants[0].compute_request for action in actions}
    assert len(left) == 1
    assert sum(left.values()) == 10


def test_a_throttled_share_has_borrowed_still():
    rules = policy({"ann": tenant(20, 50), "bob": tenant(30, 20)})
    old, young = has("b1", "bob", 20, 80, minutes=90), has("b2", "bob", 20, 20, minutes=30)
    state = lab(rules, gpu(), shares=(old, young))
    assert measures(state, wish("ann", 20, 50)) == ["throttle b1"]
    assert tenancy(state).quota == {"b2"}
    assert tenancy(after(state, plan(state, wish("ann", 20, 50)))).quota == {"b2"}


def test_a_share_without_guard_cannot_be_throttled():
    plain = has("b", "bob", 20, 80)
    plain = replace(plain, decision=replace(plain.decision, mechanisms=(MechanismName.TIMESLICE,)))
    assert measures(lab(RULES, gpu(), shares=(plain,)), wish("ann", 20, 50)) == ["suspend b"]


def test_throttling_and_suspending_go_together():
    shares = (has("b", "bob", 10, 80), has("e", "eve", 60))
    state = lab(RULES, gpu(), shares=shares)
    assert sorted(measures(state, wish("ann", 40, 50))) == ["suspend e", "throttle b"]


def test_a_share_that_cannot_be_suspended_moves():
    state = lab(RULES, gpu(), gpu(1), shares=(has("b", "bob", 60), has("e", "eve", 10, gpus=(1,))))
    state = replace(state, unmovable={"b": "it uses managed memory"})
    request = wish("ann", 40, gpu=("0",))
    assert measures(state, request) == ["migrate b"]
    (action,) = plan(state, request)
    assert action.to.gpus == ("GPU-1",)
    assert "moved to GPU 1; it cannot be suspended: it uses managed memory" in action.why


def test_a_share_that_can_neither_be_suspended_nor_move_ends():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 60),))
    state = replace(
        state, unmovable={"b": "managed memory"}, unmigratable={"b": "there is one GPU"}
    )
    assert measures(state, wish("ann", 40)) == ["evict b"]
    assert "it cannot move: there is one GPU" in plan(state, wish("ann", 40))[0].why


def test_a_gentler_act_on_another_gpu_is_preferred():
    shares = (has("b", "bob", 60), has("e", "eve", 70, gpus=(1,)))
    state = lab(
        RULES, gpu(), gpu(1), shares=shares, unmovable={"b": "fixed"}, unmigratable={"b": "rooted"}
    )
    assert measures(state, wish("ann", 40)) == ["suspend e"]


def test_only_rungs_of_the_policy_are_used():
    state = lab(replace(RULES, ladder=(Rung.EVICT,)), gpu(), shares=(has("b", "bob", 60),))
    assert measures(state, wish("ann", 40)) == ["evict b"]
    none = replace(state, policy=replace(RULES, ladder=()))
    assert measures(none, wish("ann", 40)) == []
    assert why_no_plan(none, wish("ann", 40)).startswith("what may be taken back")


def test_room_is_made_on_the_other_gpu_for_who_moves_there():
    # b cannot be suspended; e can, which makes room for b but not for the request
    shares = (has("b", "bob", 30), has("e", "eve", 20, gpus=(1,)), has("a", "ann", 50, gpus=(1,)))
    rules = policy({"ann": tenant(110), "bob": tenant(), "eve": tenant()})
    state = lab(rules, gpu(), gpu(1), shares=shares, unmovable={"b": "fixed"})
    assert measures(state, wish("ann", 60)) == ["suspend e", "migrate b"]


def test_compute_that_makes_room_for_who_moves_is_not_given_back():
    shares = (
        has("a", "ann", 60, gpus=(1,)),
        has("b1", "bob", 10, 20, gpus=(1,)),
        has("b2", "bob", 10, 20, gpus=(1, 2)),
        has("b3", "bob", 10, 80, gpus=(2,)),
        has("c", "ann", 80),
    )
    rules = policy({"ann": tenant(150), "bob": tenant()}, min_runtime=3600)
    state = lab(
        rules, gpu(), gpu(1), gpu(2), shares=shares, unmovable=dict.fromkeys(("b1", "b2"), "x")
    )
    young = replace(shares[3], granted=NOW)
    state = replace(state, shares=(*shares[:3], young, shares[4]))
    request = wish("ann", 10, 50, gpu=("1",))
    assert measures(state, request) == ["throttle b2", "migrate b1"]
    throttle, _ = plan(state, request)
    assert [grant.compute_request for grant in throttle.to.grants] == [20, 0]


def test_contexts_of_suspended_programs_stay_on_the_gpu():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 40), has("e", "eve", 40)))
    left = replace(state, machine=replace(state.machine, context={"GPU-0": 500 * MIB}))
    assert len(measures(state, wish("ann", 40))) == 1
    assert len(measures(left, wish("ann", 40))) == 2


def test_a_gpu_alone_needs_programs_to_be_gone():
    rules = policy({"ann": tenant(80, 100), "bob": tenant()})
    state = lab(rules, gpu(), shares=(has("b", "bob", 10),))
    state = replace(state, machine=replace(state.machine, context={"GPU-0": 500 * MIB}))
    alone = Request(spec=ShareSpec(), uid=1, tenant="ann")
    assert measures(state, alone) == ["evict b"]
    two = replace(state, machine=replace(state.machine, gpus=(gpu(), gpu(1))))
    pinned = replace(alone, spec=replace(alone.spec, gpu=("0",)))
    assert measures(two, pinned) == ["migrate b"]


def test_room_on_several_gpus_is_made_at_once():
    rules = policy({"ann": tenant(80), "bob": tenant()})
    shares = tuple(has(f"b{n}", "bob", 60, gpus=(n,)) for n in range(3))
    state = lab(rules, gpu(), gpu(1), gpu(2), shares=(*shares, has("b", "bob", 20, gpus=(0, 1))))
    assert len(measures(state, wish("ann", 40, gpus=2))) == 2


def test_a_share_on_several_gpus_that_is_hit_frees_all_of_them():
    rules = policy({"ann": tenant(80), "bob": tenant()})
    shares = (has("b", "bob", 50, gpus=(0, 1)), has("c", "bob", 45, gpus=(2,)))
    state = lab(rules, gpu(), gpu(1), gpu(2), shares=shares)
    assert measures(state, wish("ann", 40, gpus=2)) == ["suspend b"]


def test_a_request_that_another_goes_before_waits_for_it():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 80),), queue=(wish("ann", 40, name="first"),))
    assert measures(state, wish("ann", 1, name="second")) == []


def test_a_suspended_share_comes_back_when_there_is_room():
    back = aside(has("b", "bob", 60))
    full = lab(RULES, gpu(), shares=(back, has("a", "ann", 40)))
    assert "60 GiB of memory" in returning(full, back)
    assert returning(replace(full, shares=(back,)), back) == ""


def test_a_suspended_share_lets_those_go_first_who_go_before_it():
    back = aside(has("b", "bob", 60))
    state = lab(RULES, gpu(), shares=(back,), queue=(wish("ann", 40, name="a"),))
    assert returning(state, back)
    assert returning(replace(state, queue=(wish("eve", 8, name="e"),)), back) == ""
    elsewhere = replace(state, machine=replace(state.machine, gpus=(gpu(), gpu(1))))
    bound = wish("ann", 40, name="a", gpu=("1",))
    assert returning(replace(elsewhere, queue=(bound,)), back) == ""


def test_a_suspended_share_does_not_come_back_beyond_limits():
    rules = policy({"bob": tenant(limit=amount(60), gpu_hours=1)})
    back = aside(has("b", "bob", 40))
    state = lab(rules, gpu(), shares=(back, has("c", "bob", 30)))
    assert "its limit is 60 GiB" in returning(state, back)
    assert "GPU hours" in returning(lab(rules, gpu(), shares=(back,), hours={"bob": 2.0}), back)


def test_a_suspended_share_that_is_guaranteed_by_now_takes_its_room_back():
    rules = policy({"ann": tenant(40), "bob": tenant(40)})
    back = aside(has("b", "bob", 40))
    state = lab(rules, gpu(), shares=(back, has("a", "ann", 60)))
    assert returning(state, back)
    actions = plan(state, returned(back))
    assert [(action.rung, action.share) for action in actions] == [(Rung.SUSPEND, "a")]
    assert returning(after(state, actions), back) == ""


def test_steps_on_paper_say_what_the_shares_are_afterwards():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 60),))
    (share,) = after(state, plan(state, wish("ann", 40))).shares
    assert share.aside
    assert share.suspension.cause is Cause.RECLAIM


def test_nothing_is_planned_for_an_impossible_request():
    state = lab(RULES, gpu(), shares=(has("b", "bob", 80),))
    assert plan(state, wish("ann", 40, gpu=("7",))) == ()
    assert plan(lab(RULES), wish("ann", 40)) == ()


def test_room_for_a_gang_is_made_for_all_of_it_or_not_at_all():
    gang = Gang(name="train", size=2)
    first, second = (wish("ann", 20, name=name, gang=gang) for name in "12")
    state = lab(RULES, gpu(), shares=tuple(has(f"b{n}", "bob", 20) for n in range(4)))
    assert plan(state, second) == ()
    assert len(measures(replace(state, queue=(first,)), second)) == 2
    third = wish("ann", 21, name="3", gang=gang)
    assert plan(replace(state, queue=(first,)), third) == ()
    assert "borrow" in why_no_plan(replace(state, queue=(first,)), third)


def test_the_example_of_the_explanation():
    """docs/explanation/fairness.md works this through; keep the two alike."""
    rules = policy(
        {
            "lab": tenant(100, weight=3),
            "ann": tenant(40, parent="lab"),
            "bob": tenant(40, parent="lab"),
            "guests": tenant(),
        }
    )
    shares = (
        has("a1", "ann", 40, minutes=90),
        has("a2", "ann", 20, minutes=80),
        has("a3", "ann", 10, minutes=70),
        has("g1", "guests", 60, gpus=(1,), minutes=60),
    )
    request = wish("bob", 40, name="b1")
    state = lab(rules, gpu(), gpu(1), shares=shares)
    waiting = replace(state, queue=(request,))
    assert tenancy(state).quota == {"a1", "a2"}
    assert saturation(waiting, "lab") == pytest.approx(70 / 110)
    assert saturation(waiting, "guests") == pytest.approx(60 / 50)
    assert measures(state, request) == ["suspend g1"]
    unmovable = replace(state, unmovable={"g1": "it uses managed memory"})
    assert measures(unmovable, request) == ["evict g1"]
    gone = after(state, plan(state, request))
    placed = has("b1", "bob", 40, gpus=(1,))
    full = replace(gone, shares=(*gone.shares, placed))
    back = next(share for share in full.shares if share.id == "g1")
    assert returning(full, back) == "60 GiB of memory on GPU 1 (40 GiB free)"
