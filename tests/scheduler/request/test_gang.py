# SPDX-License-Identifier: Apache-2.0
"""Shares that are granted all at once or not at all."""

from datetime import timedelta
from itertools import permutations

import pytest
from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError
from gpushare.model.share import Decision
from gpushare.model.spec import Gang
from gpushare.scheduler import Waiting, decide, place_gang
from support.scheduling.values import NOW, ask, gpu, snapshot, taken


def gang(count, gib=60, tenant="lin", name="train", size=None, **changes):
    """`count` requests of one gang."""
    of = Gang(name=name, size=size or count)
    return [
        replace(ask(gib, gang=of, **changes), tenant=tenant, id=f"{tenant}-{name}-{n}")
        for n in range(count)
    ]


def two_gpus(*requests):
    return taken(snapshot(gpu(0), gpu(1), now=NOW), *requests)


def test_all_are_placed_together():
    found = place_gang(two_gpus(), gang(2))
    assert [decision.gpus for decision in found] == [("GPU-0",), ("GPU-1",)]


def test_an_empty_gang_is_placed_nowhere():
    assert place_gang(two_gpus(), []) == ()


def test_none_is_placed_where_one_does_not_fit():
    found = place_gang(two_gpus(ask(30)), gang(2))
    assert found.position == 1
    assert found.waits_for.startswith("gang train: 60 GiB of memory on GPU")


def test_a_gang_waits_until_all_have_come():
    first, second, third = gang(3, 8)
    state = two_gpus()
    assert decide(state, first).waits_for == "2 more of gang train to come"
    state = replace(state, queue=(first, second))
    assert isinstance(decide(state, third), Decision)
    assert place_gang(state, [first, second]).waits_for == "1 more of gang train to come"


def test_the_last_one_answers_as_the_gang():
    requests = gang(2)
    state = replace(two_gpus(), queue=tuple(requests[:1]))
    assert decide(state, requests[1]) == place_gang(state, requests)[1]
    full = replace(two_gpus(ask(30)), queue=tuple(requests[:1]))
    assert decide(full, requests[1]) == place_gang(full, requests)


def test_gangs_of_other_tenants_names_and_sizes_are_others():
    strangers = (*gang(1, tenant="mia", size=2), *gang(1, name="eval", size=2), *gang(1, size=3))
    state = replace(two_gpus(), queue=strangers)
    waiting = decide(state, gang(1, size=2)[0])
    assert waiting.waits_for == "1 more of gang train to come"


def test_a_second_gang_of_the_same_name_gathers_again():
    requests = gang(5, 8, size=2)
    state = replace(two_gpus(), queue=tuple(requests[:2]))
    assert isinstance(decide(state, requests[2]), Waiting)
    state = replace(two_gpus(), queue=tuple(requests[:3]))
    assert isinstance(decide(state, requests[3]), Decision)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_order_in_which_they_came_decides_nothing_about_who_fits(order):
    sizes = [70, 40, 30]
    of = Gang(name="mixed", size=3)
    requests = [ask(sizes[n], gang=of) for n in order]
    found = place_gang(two_gpus(), requests)
    where = {sizes[n]: decision.gpus for n, decision in zip(order, found, strict=True)}
    assert where[40] == where[30] != where[70]


def test_a_gang_that_can_never_be_together_is_refused():
    with pytest.raises(NeverFitsError, match="3 shares of gang train") as caught:
        place_gang(two_gpus(ask(30)), gang(3))
    assert caught.value.because
    assert caught.value.hint


def test_one_of_them_that_can_never_be_placed_refuses_all():
    with pytest.raises(NeverFitsError):
        place_gang(two_gpus(), [*gang(1, size=2), *gang(1, 500, size=2)])


def test_a_gang_that_has_not_come_together_delays_no_other():
    state = replace(two_gpus(ask(30)), queue=tuple(gang(1, 80, size=2)))
    assert isinstance(decide(state, ask(80)), Decision)


def test_a_gang_that_waits_keeps_what_all_of_it_needs():
    state = replace(two_gpus(ask(30, gpu=("0",))), queue=tuple(gang(2)))
    assert isinstance(decide(state, ask(21)), Waiting)
    assert decide(state, ask(20)).gpus == ("GPU-1",)


def test_who_can_go_anywhere_leaves_room_for_who_cannot():
    of = Gang(name="pair", size=2)
    found = place_gang(two_gpus(), [ask(60, gang=of), ask(60, gang=of, gpu=("0",))])
    assert [decision.gpus for decision in found] == [("GPU-1",), ("GPU-0",)]


def test_members_find_their_company_in_the_gang():
    of = Gang(name="pair", size=2)
    follower = replace(ask(8, gang=of, near={"role": "lead"}), tenant="lin")
    leader = replace(ask(8, gang=of, labels={"role": "lead"}, gpu=("1",)), tenant="lin")
    found = place_gang(two_gpus(), [follower, leader])
    assert [decision.gpus for decision in found] == [("GPU-1",), ("GPU-1",)]


def test_members_that_are_apart_are_placed_apart():
    alike = {"labels": {"app": "db"}, "apart": {"app": "db"}}
    found = place_gang(two_gpus(), gang(2, 8, **alike))
    assert {decision.gpus for decision in found} == {("GPU-0",), ("GPU-1",)}
    with pytest.raises(NeverFitsError):
        place_gang(two_gpus(), gang(3, 8, **alike))


def test_a_gang_waits_for_the_time_when_all_fit():
    state = snapshot(gpu(0), gpu(1), now=NOW)
    state = taken(state, ask(30, gpu=("0",)), ttl=600)
    state = taken(state, ask(30, gpu=("1",)), ttl=60)
    assert place_gang(state, gang(2)).eta == NOW + timedelta(seconds=600)
