# SPDX-License-Identifier: Apache-2.0
"""Who may pass the first share that waits, and who may not."""

from datetime import timedelta

from msgspec.structs import replace

from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Decision
from gpushare.scheduler import Waiting, decide
from support.scheduling.values import NOW, ask, gpu, snapshot, taken

HOUR = 3600
PASSES = "it goes before the share ahead of it, and does not delay that"


def state_of(*requests, gpus=1, ttl=0, queue=(), **changes):
    state = taken(snapshot(*map(gpu, range(gpus)), now=NOW, **changes), *requests, ttl=ttl)
    return replace(state, queue=queue)


def test_a_share_that_ends_before_may_pass():
    state = state_of(ask(50), ttl=HOUR, queue=(ask(60),))
    found = decide(state, ask(30, ttl=HOUR))
    assert isinstance(found, Decision)
    assert PASSES in found.why
    waiting = decide(state, ask(30, ttl=HOUR + 1))
    assert waiting.waits_for == "GPU 0, kept free from 01:00 UTC for the share ahead of it"
    assert (waiting.position, waiting.eta) == (2, None)


def test_a_share_may_pass_if_the_first_still_fits_at_its_time():
    state = state_of(ask(50), ttl=HOUR, queue=(ask(60),))
    assert isinstance(decide(state, ask(20)), Decision)
    assert isinstance(decide(state, ask(21)), Waiting)


def test_a_share_on_another_gpu_may_pass():
    state = state_of(ask(50, gpu=("0",)), ask(70, gpu=("1",)), gpus=2, queue=(ask(60),))
    found = decide(state, ask(10))
    assert found.gpus == ("GPU-1",)
    assert PASSES in found.why
    assert "not GPU 0, kept free for the share ahead of it" in found.why


def test_without_a_known_time_nothing_is_taken_of_what_the_first_lacks():
    state = state_of(ask(10, 60), queue=(ask(10, 50),))
    assert isinstance(decide(state, ask(60)), Decision)
    assert isinstance(decide(state, ask(61)), Waiting)
    assert isinstance(decide(state, ask(1, 1)), Waiting)


def test_who_only_has_a_place_kept_is_nobodys_neighbour():
    big = ask(10, 50, name="big")
    found = decide(state_of(ask(10, 60), queue=(big,)), ask(20))
    assert "on GPU 0 (Sim), with s0: 50 GiB of its memory stay free" in found.why


def test_the_gpu_where_it_fits_first_is_kept():
    state = taken(snapshot(gpu(0), gpu(1), now=NOW), ask(50, gpu=("0",)), ttl=2 * HOUR)
    state = replace(taken(state, ask(50, gpu=("1",)), ttl=HOUR), queue=(ask(60),))
    assert decide(state, ask(60)).position == 2
    assert decide(state, ask(30)).gpus == ("GPU-0",)
    assert isinstance(decide(state, ask(30, gpu=("1",))), Waiting)


def test_without_a_known_time_the_gpu_that_lacks_least_is_kept():
    state = state_of(ask(50, gpu=("0",)), ask(40, gpu=("1",)), gpus=2, queue=(ask(60),))
    assert decide(state, ask(30)).gpus == ("GPU-0",)
    assert isinstance(decide(state, ask(1, gpu=("1",))), Waiting)


def test_who_has_waited_longer_than_the_policys_patience_keeps_every_gpu():
    patient = replace(ask(60), asked=NOW - timedelta(seconds=Policy().patience))
    state = state_of(ask(50, gpu=("0",)), ask(40, gpu=("1",)), gpus=2, queue=(patient,))
    assert isinstance(decide(state, ask(1)), Waiting)
    hasty = replace(patient, asked=NOW)
    assert isinstance(decide(replace(state, queue=(hasty,)), ask(1)), Decision)


def test_a_known_time_that_is_far_away_does_not_leave_the_other_gpus_to_others():
    state = taken(snapshot(gpu(0), gpu(1), now=NOW), ask(50, gpu=("0",)), ttl=100 * HOUR)
    state = taken(state, ask(40, gpu=("1",)))
    patient = replace(ask(60), asked=NOW - timedelta(hours=1))
    assert isinstance(decide(replace(state, queue=(ask(60),)), ask(1, gpu=("1",))), Decision)
    assert isinstance(decide(replace(state, queue=(patient,)), ask(1, gpu=("1",))), Waiting)
    near = replace(state, now=NOW + timedelta(hours=99), queue=(patient,))
    assert isinstance(decide(near, ask(1, gpu=("1",))), Decision)


def test_a_share_of_several_gpus_is_not_starved_by_small_ones():
    state = state_of(ask(20, gpu=("0",)), gpus=2, queue=(ask(gpus=2),))
    assert isinstance(decide(state, ask(1)), Waiting)
    ending = state_of(ask(20, gpu=("0",)), gpus=2, ttl=HOUR, queue=(ask(gpus=2),))
    assert isinstance(decide(ending, ask(1)), Waiting)
    assert isinstance(decide(ending, ask(1, ttl=HOUR)), Decision)


def test_only_the_first_keeps_a_place():
    queue = (ask(60, gpu=("0",)), ask(60, gpu=("1",)))
    state = state_of(ask(50, gpu=("0",)), ask(50, gpu=("1",)), gpus=2, queue=queue)
    assert isinstance(decide(state, ask(1, gpu=("0",))), Waiting)
    assert isinstance(decide(state, ask(1, gpu=("1",))), Decision)


def test_who_is_ahead_and_fits_counts_as_placed():
    state = state_of(queue=(ask(60),))
    assert decide(state, ask(30)).waits_for == "30 GiB of memory on GPU 0 (20 GiB free)"


def test_who_can_never_be_placed_keeps_nothing():
    state = state_of(ask(50), queue=(ask(500), ask(8, select=("nonsense",)), ask(8, gpu=("9",))))
    assert isinstance(decide(state, ask(30)), Decision)


def test_who_waits_for_a_lost_gpu_keeps_nothing_else_free():
    gone = replace(gpu(1), health=replace(gpu(1).health, lost=True))
    state = replace(snapshot(gpu(0), gone, now=NOW), queue=(ask(60, gpus=2),))
    assert decide(state, ask(30)).gpus == ("GPU-0",)


def test_a_gpu_that_is_wanted_alone_is_kept_alone():
    state = state_of(ask(10), queue=(ask(),))
    assert isinstance(decide(state, ask(1)), Waiting)
    ending = state_of(ask(10), ttl=HOUR, queue=(ask(),))
    assert isinstance(decide(ending, ask(1, ttl=HOUR)), Decision)


def test_turns_pass_turns():
    state = state_of(ask(30), ask(50, turns=True), queue=(ask(60, turns=True),))
    assert isinstance(decide(state, ask(50, turns=True)), Decision)


def test_a_later_reservation_moves_the_first_behind_it():
    booking = decide(state_of(), ask(80))
    night = ask(80, at=NOW + timedelta(hours=2), ttl=HOUR)
    state = state_of(ask(50), ttl=HOUR)
    share = replace(state.shares[0], id="night", spec=night.spec, booking=booking, decision=None)
    state = replace(state, booked=(share,))
    assert decide(state, ask(60)).eta == NOW + timedelta(hours=3)
    assert decide(state, ask(60, ttl=HOUR)).eta == NOW + timedelta(hours=1)
