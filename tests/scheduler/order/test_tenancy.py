# SPDX-License-Identifier: Apache-2.0
"""What tenants hold, what of it is guaranteed, and what they may not have."""

import pytest
from msgspec.structs import replace

from gpushare.model.errors import QuotaError
from gpushare.model.gpu import ComputeMode, GpuHealth
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Cause, State
from gpushare.model.spec import ComputeAsk, Gang, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.scheduler import Request, admission, decide, overcommitted
from gpushare.scheduler.order.load import NOTHING, capacity
from gpushare.scheduler.order.tenancy import in_quota, tenancy
from support.scheduling.small_machine import amount, aside, has, lab, policy, tenant, wish
from support.scheduling.values import ask, gpu, holding, snapshot

PAIR = policy({"lab": tenant(60), "ann": tenant(20, parent="lab"), "bob": tenant(20, parent="lab")})


def quota(state):
    return set(tenancy(state).quota)


def test_what_children_hold_counts_for_their_parents():
    state = lab(PAIR, gpu(), shares=(has("a", "ann", 10, 30), has("b", "bob", 5)))
    held = tenancy(state).held
    assert (held["lab"].memory, held["lab"].compute) == (15 * GIB, 30)
    assert held["ann"].memory == 10 * GIB


def test_a_share_on_two_gpus_counts_twice():
    state = lab(PAIR, gpu(), gpu(1), shares=(has("a", "ann", 10, 30, gpus=(0, 1)),))
    assert tenancy(state).held["ann"].memory == 20 * GIB
    assert tenancy(state).held["ann"].compute == 60


def test_a_share_that_has_its_gpu_alone_counts_all_of_it():
    share = has("a", "ann", 1)
    alone = replace(share, decision=replace(share.decision, mechanisms=(MechanismName.EXCLUSIVE,)))
    held = tenancy(lab(PAIR, gpu(), shares=(alone,))).held["ann"]
    assert (held.memory, held.compute) == (80 * GIB, 100)


def test_suspended_shares_hold_nothing_but_those_that_wait_for_their_turn_do():
    turn = aside(has("t", "ann", 7, turns=True), Cause.TURN)
    gone = aside(has("g", "ann", 9), Cause.USER)
    assert tenancy(lab(PAIR, gpu(), shares=(turn, gone))).held["ann"].memory == 7 * GIB


def test_the_oldest_shares_are_in_quota():
    shares = (has("new", "ann", 15, minutes=1), has("old", "ann", 15, minutes=9))
    rules = policy({"ann": tenant(20)})
    state = lab(rules, gpu(), shares=shares)
    assert quota(state) == {"old"}
    assert tenancy(state).borrowed == {"new"}


def test_a_share_is_in_quota_with_all_of_it_or_not_at_all():
    state = lab(policy({"ann": tenant(20)}), gpu(), shares=(has("a", "ann", 21),))
    assert quota(state) == set()


def test_a_child_may_use_what_its_parent_has_promised_to_no_child():
    assert quota(lab(PAIR, gpu(), shares=(has("a", "ann", 40),))) == {"a"}
    assert quota(lab(PAIR, gpu(), shares=(has("a", "ann", 41),))) == set()


def test_what_is_promised_to_a_child_is_used_up_by_no_one_else():
    greedy = (has("a", "ann", 40, minutes=9), has("l", "lab", 1, minutes=8))
    assert quota(lab(PAIR, gpu(), shares=greedy)) == {"a"}
    late = has("b", "bob", 20, minutes=7)
    assert quota(lab(PAIR, gpu(), shares=(*greedy, late))) == {"a", "b"}


def test_shares_that_never_borrow_are_counted_first():
    rules = policy({"ann": tenant(20)})
    old, strict = (
        has("old", "ann", 15, minutes=9),
        has("strict", "ann", 15, minutes=1, borrow=False),
    )
    assert quota(lab(rules, gpu(), shares=(old, strict))) == {"strict"}


def test_compute_counts_towards_quota_only_where_a_tenant_is_guaranteed_some():
    share = has("a", "ann", 10, 50)
    memory_only = policy({"ann": tenant(20)})
    assert quota(lab(memory_only, gpu(), shares=(share,))) == {"a"}
    both = policy({"ann": tenant(20), "bob": tenant(20, 50)})
    assert quota(lab(both, gpu(), shares=(share,))) == set()


def test_a_user_who_is_guaranteed_nothing_borrows():
    state = lab(PAIR, gpu(), shares=(has("a", "eve", 1),))
    assert tenancy(state).borrowed == {"a"}
    assert not in_quota(state, wish("eve", 1))


def test_a_request_is_in_quota_when_those_before_it_leave_enough():
    state = lab(policy({"ann": tenant(20)}), gpu())
    assert in_quota(state, wish("ann", 20))
    ahead = replace(state, queue=(wish("ann", 1, name="first"),))
    assert not in_quota(ahead, wish("ann", 20))


def test_a_request_for_a_part_of_a_gpu_counts_on_the_largest_it_could_get():
    rules = policy({"ann": tenant(20, limit=amount(30))})
    half = Request(spec=ShareSpec(memory=MemoryAsk(share=50)), uid=1, tenant="ann")
    assert admission(lab(rules, gpu(0, 24), gpu(1, 60)), half) == ""
    with pytest.raises(QuotaError):
        admission(lab(rules, gpu(0, 24), gpu(1, 61)), half)


@pytest.mark.parametrize("limit", [amount(20), amount(None, 50)])
def test_what_is_permanently_above_a_limit_is_refused_at_once(limit):
    state = lab(policy({"ann": tenant(limit=limit)}), gpu())
    with pytest.raises(QuotaError, match="may never have that") as caught:
        admission(state, wish("ann", 21, 60))
    assert "its limit is" in caught.value.because


def test_what_is_above_a_limit_now_waits_for_others_of_the_tenant():
    state = lab(policy({"ann": tenant(limit=amount(20))}), gpu(), shares=(has("a", "ann", 15),))
    assert "others of tenant ann to end" in admission(state, wish("ann", 6))
    assert admission(state, wish("ann", 5)) == ""


def test_limits_of_parents_hold_for_all_their_children():
    rules = policy({"lab": tenant(limit=amount(20)), "ann": tenant(parent="lab")})
    state = lab(rules, gpu(), shares=(has("b", "lab", 15),))
    assert "tenant lab" in admission(state, wish("ann", 6))


def test_limits_hold_for_users_in_no_tenant_each():
    rules = policy(default=tenant(limit=amount(20)))
    state = lab(rules, gpu(), shares=(has("a", "ann", 15),))
    assert admission(state, wish("ann", 6))
    assert admission(state, wish("eve", 6)) == ""


def test_a_gang_is_within_its_limit_as_a_whole():
    gang = Gang(name="train", size=2)
    first, second = (wish("ann", 15, name=name, gang=gang) for name in "12")
    state = lab(policy({"ann": tenant(limit=amount(40))}), gpu(), queue=(first,))
    assert admission(state, second) == ""
    held = replace(state, shares=(has("a", "ann", 15),))
    assert "it would have 45 GiB" in admission(held, second)
    small = replace(state, policy=policy({"ann": tenant(limit=amount(20))}))
    with pytest.raises(QuotaError):
        admission(small, second)


def test_users_in_no_tenant_may_have_a_parent():
    rules = policy({"guests": tenant(20, limit=amount(30))}, default=tenant(parent="guests"))
    state = lab(rules, gpu(), shares=(has("z", "zoe", 15),))
    assert quota(state) == {"z"}
    assert in_quota(state, wish("yan", 5))
    assert not in_quota(state, wish("yan", 6))
    assert "tenant guests" in admission(state, wish("yan", 16))


def test_waiting_shares_count_against_the_number_of_shares():
    rules = policy({"ann": tenant(shares=2)})
    state = lab(rules, gpu(), shares=(has("a", "ann"),), queue=(wish("ann", name="b"),))
    with pytest.raises(QuotaError) as caught:
        admission(state, wish("ann"))
    assert "2 of 2" in caught.value.because
    assert admission(replace(state, queue=()), wish("ann")) == ""


def test_a_share_that_waits_already_is_not_counted_again():
    rules = policy({"ann": tenant(shares=1)})
    assert admission(lab(rules, gpu(), shares=(has("a", "ann"),)), wish("ann", name="b")) == ""


def test_gpu_hours_that_are_used_up_are_waited_for():
    rules = policy({"lab": tenant(gpu_hours=10), "ann": tenant(parent="lab")})
    assert admission(lab(rules, gpu(), hours={"lab": 9.9}), wish("ann")) == ""
    reason = admission(lab(rules, gpu(), hours={"lab": 10.2}), wish("ann"))
    assert reason == "GPU hours of tenant lab: 10.2 of 10 in 30 days are used"


def test_no_gpu_hours_at_all_are_not_waited_for():
    with pytest.raises(QuotaError):
        admission(lab(policy({"ann": tenant(gpu_hours=0)}), gpu()), wish("ann"))


def test_who_does_not_borrow_waits_for_its_guarantee():
    state = lab(policy({"ann": tenant(20)}), gpu(), shares=(has("a", "ann", 15),))
    assert "may not borrow" in admission(state, wish("ann", 6, borrow=False))
    assert admission(state, wish("ann", 5, borrow=False)) == ""
    assert admission(state, wish("ann", 6)) == ""
    with pytest.raises(QuotaError, match="not guaranteed that much"):
        admission(state, wish("ann", 21, borrow=False))


def test_a_policy_without_tenants_refuses_no_one():
    assert admission(lab(policy(), gpu(), shares=(has("a", "ann", 70),)), wish("ann", 80)) == ""


def test_guarantees_must_fit_the_machine():
    assert overcommitted(policy({"a": tenant(80), "b": tenant(80, 200)}), lab_of(2)) == ()
    (said,) = overcommitted(policy({"a": tenant(80), "b": tenant(81)}), lab_of(2))
    assert "161 GiB" in said
    (said,) = overcommitted(policy({"a": tenant(0, 201)}), lab_of(2))
    assert "201 %" in said


def test_what_children_are_guaranteed_must_fit_their_parent():
    rules = policy(
        {"lab": tenant(10), "ann": tenant(6, parent="lab"), "bob": tenant(5, parent="lab")}
    )
    (said,) = overcommitted(rules, lab_of(1))
    assert said.startswith("tenant lab is guaranteed 10 GiB")


def test_how_many_users_are_in_no_tenant_is_unknown():
    assert overcommitted(policy(default=tenant(1)), lab_of(1))


def test_gpus_that_cannot_be_shared_are_no_capacity():
    gpus = (
        gpu(0, compute_mode=ComputeMode.PROHIBITED),
        gpu(1, health=GpuHealth(lost=True)),
        gpu(2, mig_enabled=True),
        gpu(3, 10, parent="GPU-2"),
    )
    whole = capacity(lab(policy(), *gpus).machine)
    assert (whole.memory, whole.compute) == (10 * GIB, 100)


def test_a_request_that_can_never_be_placed_counts_nothing():
    state = lab(policy({"ann": tenant(limit=amount(1))}), gpu())
    assert admission(state, wish("ann", 900)) == ""
    assert capacity(lab(policy()).machine) == NOTHING


def test_a_share_that_is_guaranteed_no_memory_is_not_in_quota():
    none = MemoryAsk(limit=GIB, request=0)
    request = Request(spec=ShareSpec(memory=none, compute=ComputeAsk()), uid=1, tenant="ann")
    assert not in_quota(lab(policy({"ann": tenant(20)}), gpu()), request)


def lab_of(count):
    return lab(policy(), *(gpu(index) for index in range(count))).machine


def many(number, uid):
    asked = replace(ask(1), uid=uid)
    return tuple(holding(decide(snapshot(gpu()), asked), asked, f"s{n}") for n in range(number))


def test_one_user_has_so_many_shares_whatever_the_tenants():
    state = snapshot(gpu(), shares=many(3, 1000), policy=Policy(shares_per_user=3))
    with pytest.raises(QuotaError) as caught:
        admission(state, ask(1))
    assert "3 of 3, waiting ones included" in caught.value.because
    assert admission(state, ask(1, uid=1001)) == ""
    as_root = snapshot(gpu(), shares=many(3, 0), policy=Policy(shares_per_user=3))
    assert admission(as_root, ask(1, uid=0)) == ""


def test_a_reservation_that_is_due_counts_once():
    share = replace(many(1, 1000)[0], state=State.QUEUED)
    due = replace(ask(1), id=share.id)
    state = snapshot(gpu(), booked=(share,), queue=(due,), policy=Policy(shares_per_user=2))
    assert admission(state, ask(1)) == ""
