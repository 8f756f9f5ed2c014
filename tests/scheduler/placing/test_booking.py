# SPDX-License-Identifier: Apache-2.0
"""Places for a time to come."""

from datetime import timedelta, timezone

import pytest
from msgspec.structs import replace

from gpushare.model.errors import BadSpecError, NeverFitsError, NoCapacityError
from gpushare.model.share import Cause, Decision, State, Suspension
from gpushare.scheduler import Waiting, book, decide, hindrance, regrant
from support.scheduling.values import NOW, ask, gpu, holding, snapshot, spec, taken

HOUR = 3600


def later(hours):
    return NOW + timedelta(hours=hours)


def at(hours, gib=60, lasts=1, name="eval-2", **changes):
    """A request for a time to come, in hours."""
    asked = ask(gib, at=later(hours), ttl=lasts * HOUR, name=name, **changes)
    return replace(asked, id=name, tenant="lin")


def booked(state, *requests):
    for request in requests:
        share = holding(book(state, request), request, request.id)
        share = replace(share, name=request.id, state=State.QUEUED)
        share = replace(share, booking=share.decision, decision=None)
        state = replace(state, booked=(*state.booked, share))
    return state


def one_gpu(*requests, ttl=0):
    return taken(snapshot(gpu(), now=NOW), *requests, ttl=ttl)


def test_a_reservation_says_where_it_will_land_and_when():
    found = book(one_gpu(), at(14))
    assert found.gpus == ("GPU-0",)
    assert found.why[-1] == "kept free from 14:00 UTC to 15:00 UTC"


def test_what_ends_before_is_not_in_the_way():
    state = one_gpu(ask(60), ttl=HOUR)
    assert isinstance(book(state, at(1)), Decision)
    with pytest.raises(NoCapacityError):
        book(state, at(0.5))


def test_who_is_in_the_way_is_named_and_when_it_would_be_possible():
    with pytest.raises(NoCapacityError) as caught:
        book(one_gpu(ask(60), ttl=2 * HOUR), at(1))
    assert caught.value.what == "there is no room from 01:00 UTC to 02:00 UTC"
    assert caught.value.because == (
        "it would need 60 GiB of memory on GPU 0 (20 GiB free); in the way: s0"
    )
    assert caught.value.hint == "it would be possible from 02:00 UTC"


def test_without_an_end_in_the_way_no_other_time_is_promised():
    with pytest.raises(NoCapacityError) as caught:
        book(one_gpu(ask(60)), at(1))
    assert "no end" in caught.value.hint


def test_foreign_memory_is_in_the_way_without_a_name():
    state = replace(one_gpu(), foreign={"GPU-0": 30 * 2**30})
    with pytest.raises(NoCapacityError, match="programs outside gpushare"):
        book(state, at(1))


def test_reservations_that_overlap_share_the_room():
    state = booked(one_gpu(), at(1, 50, lasts=2, name="a"), at(2, 30, lasts=2, name="b"))
    with pytest.raises(NoCapacityError, match="in the way: a, b"):
        book(state, at(2, 1, name="c"))
    assert isinstance(book(state, at(3, 50, name="c")), Decision)
    assert isinstance(book(state, at(1, 30, name="c")), Decision)


def test_reservations_one_after_another_do_not_add_up():
    state = booked(one_gpu(), *(at(n, 60, name=f"night-{n}") for n in (1, 2, 3)))
    assert isinstance(decide(state, ask(20)), Decision)
    assert isinstance(decide(state, ask(21)), Waiting)


def test_a_share_that_would_still_be_there_waits_or_goes_elsewhere():
    state = booked(one_gpu(), at(14))
    found = decide(state, ask(60))
    assert found.waits_for == "GPU 0, kept free from 14:00 UTC for eval-2"
    assert found.eta == later(15)
    both = replace(state, machine=replace(state.machine, gpus=(gpu(), gpu(1))))
    elsewhere = decide(both, ask(60))
    assert elsewhere.gpus == ("GPU-1",)
    assert "not GPU 0, kept free from 14:00 UTC for eval-2" in elsewhere.why


def test_a_share_that_has_ended_by_then_is_placed():
    state = booked(one_gpu(), at(1))
    assert isinstance(decide(state, ask(60, ttl=HOUR)), Decision)
    assert isinstance(decide(state, ask(60, ttl=HOUR + 1)), Waiting)


def test_where_the_time_is_unknown_reservations_count_as_taken():
    state = replace(booked(one_gpu(), at(1)), now=None)
    assert isinstance(decide(state, ask(60, ttl=60)), Waiting)


def test_at_its_time_it_gets_what_was_kept():
    state = booked(one_gpu(), at(1))
    assert decide(state, at(1)) == Waiting(
        position=1, waits_for="its time, 01:00 UTC", eta=later(1)
    )
    then = replace(state, now=later(1), queue=(ask(60),))
    assert decide(then, at(1)) == state.booked[0].booking


def test_reservations_back_to_back_follow_each_other_also_when_one_is_late():
    state = booked(one_gpu(), at(1, name="a"), at(2, name="b"))
    late = replace(state, now=later(1) + timedelta(minutes=5))
    assert isinstance(decide(late, at(1, name="a")), Decision)


def test_at_its_time_it_goes_elsewhere_where_its_gpu_is_taken():
    state = booked(taken(snapshot(gpu(0), gpu(1), now=NOW)), at(1))
    stayed = taken(snapshot(gpu(0), now=NOW), ask(60)).shares
    found = decide(replace(state, now=later(1), shares=stayed), at(1))
    assert found.gpus == ("GPU-1",)
    assert "cannot be had" in found.why[-1]
    alone = replace(booked(one_gpu(), at(1)), now=later(1), shares=stayed)
    assert "60 GiB of memory on GPU 0" in decide(alone, at(1)).waits_for


def test_an_unknown_reservation_waits_like_others():
    assert isinstance(decide(replace(one_gpu(), now=later(1)), at(1)), Decision)
    queued = replace(one_gpu(ask(60)), now=later(1), queue=(ask(60),))
    assert decide(queued, at(1)).position == 2


def test_a_reservation_that_has_begun_keeps_its_room_until_it_is_claimed():
    state = replace(booked(one_gpu(), at(1)), now=later(1))
    assert isinstance(decide(state, ask(60)), Waiting)
    over = replace(state, now=later(2))
    assert isinstance(decide(over, ask(60)), Decision)


def test_once_it_is_granted_it_counts_once():
    state = booked(one_gpu(), at(1, 40))
    share = state.booked[0]
    granted = replace(share, decision=share.booking, state=State.GRANTED, expires=later(2))
    state = replace(state, now=later(1), shares=(granted,))
    assert isinstance(decide(state, ask(40)), Decision)


def test_a_share_that_waits_for_a_time_is_ahead_of_no_other():
    state = booked(one_gpu(ask(60)), at(1, 20))
    state = replace(state, queue=(at(1, 20), at(5, 60, name="later")))
    assert decide(state, ask(60)).position == 1
    assert isinstance(decide(replace(state, now=later(1)), ask(1)), Waiting)


def test_a_time_that_is_over_or_missing_is_refused():
    state = replace(one_gpu(), now=later(3))
    with pytest.raises(BadSpecError, match="over"):
        book(state, at(1))
    with pytest.raises(BadSpecError, match="needs a time"):
        book(state, ask(8))
    with pytest.raises(NeverFitsError):
        book(one_gpu(), at(1, 500))


def test_times_are_shown_in_the_zone_they_were_given_in():
    there = later(14).astimezone(timezone(timedelta(hours=2)))
    request = replace(at(1), spec=replace(at(1).spec, at=there))
    found = decide(booked(one_gpu(), request), ask(60))
    assert "kept free from 16:00 UTC+02:00 for eval-2" in found.waits_for
    tomorrow = decide(booked(one_gpu(), at(25)), ask(60))
    assert "kept free from 2026-11-24 01:00 UTC for eval-2" in tomorrow.waits_for


def test_the_reservations_of_other_tenants_have_no_name():
    found = decide(booked(one_gpu(), at(14)), replace(ask(60), tenant="mia"))
    assert found.waits_for == "GPU 0, kept free from 14:00 UTC for a reservation of others"


def test_a_reservation_does_not_delay_who_waits_first():
    state = replace(one_gpu(ask(60), ttl=HOUR), queue=(ask(60),))
    with pytest.raises(NoCapacityError):
        book(state, at(2))
    assert isinstance(book(replace(state, queue=(ask(60, ttl=HOUR),)), at(2)), Decision)


def test_who_was_suspended_or_wants_to_grow_leaves_reservations_their_room():
    state = booked(one_gpu(ask(40)), at(1, 40))
    share = state.shares[0]
    with pytest.raises(NoCapacityError):
        regrant(state, share, replace(share, spec=spec(41)))
    away = Suspension(cause=Cause.USER, since=NOW)
    aside = replace(share, state=State.SUSPENDED, suspension=away)
    state = booked(replace(state, shares=(aside,)), at(1, 30, name="more"))
    assert "40 GiB of memory on GPU 0" in hindrance(state, aside)
    assert hindrance(state, replace(aside, expires=later(1))) == ""
