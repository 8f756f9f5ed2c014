# SPDX-License-Identifier: Apache-2.0
"""The fair share of each tenant."""

from math import inf, log

import pytest

from gpushare.scheduler import saturation
from gpushare.scheduler.order.fairshare import Entitlement, Fractions, Node, divided, fair_shares
from support.scheduling.small_machine import amount, aside, has, lab, policy, tenant, wish
from support.scheduling.values import gpu


def entitlement(owed=0.0, wanted=1.0, weight=1, used=0.0):
    return Entitlement(Fractions(owed, owed), Fractions(wanted, wanted), weight, used)


def memory(pool, *entitlements):
    return pytest.approx([parts.memory for parts in divided(Fractions(pool, pool), entitlements)])


def test_what_is_left_goes_by_weight():
    assert memory(1.0, entitlement(weight=3), entitlement()) == [0.75, 0.25]


def test_guarantees_come_first_as_far_as_they_are_wanted():
    assert memory(1.0, entitlement(owed=0.6), entitlement()) == [0.8, 0.2]
    assert memory(1.0, entitlement(owed=0.6, wanted=0.1), entitlement()) == [0.1, 0.9]


def test_what_one_does_not_want_goes_to_those_who_do():
    assert memory(1.0, entitlement(wanted=0.1), entitlement(), entitlement(weight=2)) == [
        0.1,
        0.3,
        0.6,
    ]
    assert memory(1.0, entitlement(wanted=0.1), entitlement(wanted=0.2)) == [0.1, 0.2]


def test_past_use_counts_against_the_weight():
    # W = 1/2 each, so P = 1/2 + (1/2 - 3/4) and 1/2 + (1/2 - 1/4)
    assert memory(1.0, entitlement(used=0.75), entitlement(used=0.25)) == [0.25, 0.75]


def test_who_has_used_twice_its_weight_gets_what_others_leave():
    assert memory(1.0, entitlement(used=1.0), entitlement(wanted=0.7)) == [0.3, 0.7]
    assert memory(1.0, entitlement(used=1.0), entitlement()) == [0.0, 1.0]
    assert memory(1.0, entitlement(used=5.0), entitlement(used=5.0)) == [0.5, 0.5]


def test_guarantees_that_the_machine_no_longer_has_shrink_in_proportion():
    assert memory(0.6, entitlement(owed=0.6), entitlement(owed=0.3)) == [0.4, 0.2]


def test_a_tenant_with_its_fair_share_is_saturated_by_one():
    rules = policy({"ann": tenant(), "bob": tenant()})
    shares = (has("a", "ann", 40), has("b", "bob", 20))
    state = lab(rules, gpu(), shares=shares, queue=(wish("bob", 60), wish("ann", 60)))
    assert saturation(state, "ann") == pytest.approx(1.0)
    assert saturation(state, "bob") == pytest.approx(0.5)
    assert saturation(state, "eve") == 0.0


def test_the_dimension_of_which_a_tenant_has_more_counts():
    rules = policy({"ann": tenant(), "bob": tenant()})
    shares = (has("a", "ann", 20, 50),)
    queue = (wish("bob", 60, 90), wish("ann", 60, 90))
    assert saturation(lab(rules, gpu(), shares=shares, queue=queue), "ann") == pytest.approx(1.0)


def test_usage_is_measured_against_the_whole_machine():
    rules = policy({"ann": tenant(), "bob": tenant()})
    everything = 2 * rules.half_life / log(2)
    state = lab(
        rules, gpu(), gpu(1), queue=(wish("ann", 160, gpus=2), wish("bob", 160, gpus=2)),
        usage={"ann": everything / 4},
    )  # fmt: skip
    assert saturation(state, "ann") == 0.0  # 160 GiB a GPU never fit
    state = lab(
        rules, gpu(), gpu(1), queue=(wish("ann", 80, gpus=2), wish("bob", 80, gpus=2)),
        usage={"ann": everything / 4},
    )  # fmt: skip
    fair = fair_shares(state).fair
    # U = 1/4: P = 3/4 against 1
    assert fair[Node("ann")].memory == pytest.approx(3 / 7)


def test_who_is_left_nothing_is_full_although_it_holds_nothing():
    rules = policy({"ann": tenant(), "bob": tenant()})
    state = lab(
        rules,
        gpu(),
        queue=(wish("ann", 80), wish("bob", 80)),
        usage={"ann": rules.half_life / log(2)},
    )
    assert saturation(state, "ann") == inf
    assert saturation(state, "bob") == 0.0


def test_children_share_what_their_parent_gets():
    tree = {
        "lab": tenant(weight=3),
        "ann": tenant(parent="lab"),
        "bob": tenant(parent="lab"),
        "eve": tenant(),
    }
    queue = tuple(wish(name, 80) for name in ("ann", "bob", "eve", "lab"))
    fair = fair_shares(lab(policy(tree), gpu(), queue=queue)).fair
    assert fair[Node("lab")].memory == pytest.approx(0.75)
    thirds = [fair[Node("ann")], fair[Node("bob")], fair[Node("lab", own=True)]]
    assert [parts.memory for parts in thirds] == pytest.approx([0.25] * 3)


def test_no_tenant_fairly_gets_more_than_its_limit():
    rules = policy({"ann": tenant(limit=amount(20)), "bob": tenant()})
    queue = (wish("ann", 20), wish("ann", 20), wish("bob", 80))
    fair = fair_shares(lab(rules, gpu(), queue=queue)).fair
    assert fair[Node("ann")].memory == pytest.approx(0.25)
    assert fair[Node("bob")].memory == pytest.approx(0.75)


def test_who_was_suspended_for_others_still_wants_its_place():
    rules = policy({"ann": tenant(), "bob": tenant()})
    away = aside(has("b", "bob", 80))
    state = lab(rules, gpu(), shares=(has("a", "ann", 80), away))
    assert saturation(state, "ann") == pytest.approx(2.0)
