# SPDX-License-Identifier: Apache-2.0
"""Who goes first."""

from math import log

from msgspec.structs import replace

from gpushare.model.spec import Gang, Priority
from gpushare.scheduler import ordered, rank_reason
from support.scheduling.small_machine import has, lab, policy, tenant, wish
from support.scheduling.values import gpu

EQUAL = policy({"ann": tenant(), "bob": tenant()})


def names(state, *requests):
    return "".join(request.id for request in ordered(state, requests))


def test_without_tenants_it_is_first_come_first_served():
    late = wish("ann", name="b", minutes=1, priority=Priority.HIGH)
    early = wish("ann", name="a", minutes=500)
    state = lab(policy(), gpu())
    assert names(state, late, early, replace(wish("eve", name="c"), asked=None)) == "abc"
    assert rank_reason(state, (late, early), late) == "2 of 2: first come, first served"


def test_what_is_guaranteed_goes_before_what_would_borrow():
    rules = policy({"ann": tenant(20), "bob": tenant()})
    old = wish("bob", 1, name="b", minutes=50, priority=Priority.HIGH)
    assert names(lab(rules, gpu()), old, wish("ann", 20, name="a")) == "ab"
    assert names(lab(rules, gpu()), old, wish("ann", 21, name="a")) == "ba"


def test_a_guarantee_is_given_out_once():
    rules = policy({"ann": tenant(20), "bob": tenant()})
    requests = (
        wish("ann", 15, name="1", minutes=9),
        wish("ann", 15, name="3", minutes=8),
        wish("bob", 15, name="2", minutes=7),
        wish("ann", 5, name="0", minutes=6),
    )
    assert names(lab(rules, gpu()), *requests) == "1023"


def test_a_share_that_waited_longer_than_the_patience_goes_first_in_its_class():
    rules = replace(EQUAL, patience=600)
    requests = (
        wish("ann", name="c", minutes=9, priority=Priority.HIGH),
        wish("ann", name="b", minutes=11),
        wish("ann", name="a", minutes=12, priority=Priority.LOW),
    )
    assert names(lab(rules, gpu()), *requests) == "abc"


def test_patience_does_not_make_a_guarantee():
    rules = policy({"ann": tenant(20), "bob": tenant()}, patience=60)
    assert (
        names(lab(rules, gpu()), wish("bob", name="b", minutes=99), wish("ann", name="a")) == "ab"
    )


def test_priority_goes_before_fairness_within_a_class():
    state = lab(EQUAL, gpu(), shares=(has("x", "ann", 40),))
    assert (
        names(state, wish("bob", name="b"), wish("ann", name="a", priority=Priority.HIGH)) == "ab"
    )


def test_the_tenant_that_has_less_of_its_fair_share_goes_first():
    state = lab(EQUAL, gpu(), shares=(has("x", "ann", 20), has("y", "bob", 10)))
    requests = wish("ann", name="a", minutes=9), wish("bob", name="b", minutes=1)
    assert names(state, *requests) == "ba"
    assert rank_reason(state, requests, requests[0]).endswith(
        "is of a tenant that has, or recently had, less of its fair share"
    )


def test_weights_count():
    rules = policy({"ann": tenant(weight=4), "bob": tenant()})
    shares = (has("x", "ann", 20), has("y", "bob", 10))
    requests = wish("ann", 40, name="a", minutes=1), wish("bob", 70, name="b", minutes=9)
    assert names(lab(rules, gpu(), shares=shares), *requests) == "ab"


def test_past_use_counts():
    state = lab(EQUAL, gpu(), usage={"ann": EQUAL.half_life / log(2)})
    requests = wish("ann", 60, name="a", minutes=9), wish("bob", 60, name="b", minutes=1)
    assert names(state, *requests) == "ba"


def test_many_requests_of_one_tenant_take_turns_with_those_of_another():
    many = [wish("ann", 10, name=str(n), minutes=50 - n) for n in range(5)]
    few = [wish("bob", 10, name=letter, minutes=1) for letter in "xy"]
    # ann wants 50 GiB of 80 and bob 20: that is what each could fairly have
    assert names(lab(EQUAL, gpu()), *many, *few) == "0x12y34"


def test_a_tenant_competes_with_all_that_its_parent_has():
    tree = {"lab": tenant(), "ann": tenant(parent="lab"), "bob": tenant(parent="lab")}
    state = lab(policy(tree | {"eve": tenant()}), gpu(), shares=(has("x", "ann", 40),))
    requests = (
        wish("bob", name="b", minutes=9),
        wish("eve", name="e"),
        wish("ann", name="a", minutes=9),
    )
    assert names(state, *requests) == "eba"


def test_a_gang_goes_as_one_where_its_last_share_stands():
    gang = Gang(name="train", size=2)
    requests = (
        wish("ann", name="1", minutes=9, gang=gang),
        wish("bob", name="x", minutes=8),
        wish("ann", name="2", minutes=7, gang=gang),
        wish("eve", name="y", minutes=6),
    )
    rules = policy({name: tenant() for name in ("ann", "bob", "eve")})
    assert names(lab(rules, gpu()), *requests) == "x12y"
    assert names(lab(policy(), gpu()), *requests) == "x12y"


def test_a_gang_that_is_not_guaranteed_as_a_whole_borrows():
    gang = Gang(name="train", size=2)
    rules = policy({"ann": tenant(20), "bob": tenant()})
    state = lab(rules, gpu())
    pair = [wish("ann", 15, name=name, minutes=9, gang=gang) for name in "12"]
    assert names(state, *pair, wish("ann", 20, name="a")) == "a12"


def test_every_place_has_a_reason():
    rules = policy({"ann": tenant(20), "bob": tenant()}, patience=600)
    requests = (
        wish("ann", 20, name="a"),
        wish("bob", name="b", minutes=30),
        wish("bob", name="c", minutes=20),
        wish("bob", name="d", minutes=5, priority=Priority.HIGH),
        wish("bob", name="e", minutes=5),
        wish("bob", name="f", minutes=4),
    )
    state = lab(rules, gpu())
    assert [rank_reason(state, requests, request) for request in ordered(state, requests)] == [
        "1 of 6: no share goes before it",
        "2 of 6: the one before it is within its tenant's guarantee, and this one would borrow",
        "3 of 6: the one before it has waited longer, and more than 600 s",
        "4 of 6: the one before it has waited longer, and more than 600 s",
        "5 of 6: the one before it has priority high",
        "6 of 6: the one before it came earlier",
    ]
    assert rank_reason(state, requests, wish("eve")) == "it does not wait"
