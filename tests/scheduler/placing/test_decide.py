# SPDX-License-Identifier: Apache-2.0
"""Where shares land, what they wait for, and what is refused permanently."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.model.errors import (
    NeverFitsError,
    NoGpuError,
    NoSuchGpuError,
    UnsupportedError,
)
from gpushare.model.gpu import ComputeMode, GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.share import Cause, Decision, Level, State, Suspension
from gpushare.model.spec import Isolation, MechanismName, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import GIB
from gpushare.scheduler import Waiting, decide
from support.scheduling.values import NOW, ask, gpu, holding, snapshot, taken


def test_memory_is_granted_as_asked():
    found = decide(snapshot(gpu(), gpu(1)), ask(8))
    assert found.grants[0].limit == found.grants[0].request == 8 * GIB


def test_no_memory_limit_takes_a_gpu_alone():
    found = decide(snapshot(gpu()), ask())
    assert found.mechanisms == (MechanismName.EXCLUSIVE,)
    assert found.enforcement.memory is Level.ENFORCED


def test_a_compute_limit_chooses_mps_and_none_time_slicing():
    assert decide(snapshot(gpu()), ask(8, 30)).mechanisms[0] is MechanismName.MPS
    assert decide(snapshot(gpu()), ask(8)).mechanisms[0] is MechanismName.TIMESLICE


def test_the_driver_limit_is_preferred_to_the_guard():
    assert decide(snapshot(gpu()), ask(8)).mechanisms[1:] == (MechanismName.GUARD,)
    both = snapshot(gpu(), has=("timeslice", "guard", "driver-limit"))
    assert decide(both, ask(8)).mechanisms[1:] == (MechanismName.DRIVER_LIMIT,)


def test_without_mps_a_compute_limit_is_reported_not_to_hold():
    found = decide(snapshot(gpu(), has=("timeslice", "driver-limit")), ask(8, 30))
    assert found.mechanisms[0] is MechanismName.TIMESLICE
    assert any("does not hold" in reason for reason in found.why)
    assert found.enforcement.compute is Level.NONE


def test_without_mps_the_guard_holds_a_compute_limit():
    found = decide(snapshot(gpu(), has=("timeslice", "guard")), ask(8, 30))
    assert found.mechanisms == (MechanismName.TIMESLICE, MechanismName.GUARD)
    assert any("the guard holds" in reason for reason in found.why)
    assert found.enforcement.compute is Level.COOPERATIVE


@pytest.mark.parametrize("wish", [{"compute": 30}, {"priority": Priority.LOW}, {"turns": True}])
def test_the_guard_stacks_on_the_drivers_limits_where_work_is_held_back(wish):
    has = ("timeslice", "mps", "guard", "driver-limit")
    found = decide(snapshot(gpu(), has=has), ask(8, **wish))
    assert found.mechanisms[1:] == (MechanismName.DRIVER_LIMIT, MechanismName.GUARD)
    assert found.enforcement.memory is Level.ENFORCED


@pytest.mark.parametrize("wish", [{"compute": 30}, {"priority": Priority.HIGH}])
def test_a_whole_gpu_with_a_wish_about_compute_is_guarded(wish):
    found = decide(snapshot(gpu()), ask(**wish))
    assert found.mechanisms == (MechanismName.EXCLUSIVE, MechanismName.GUARD)


@pytest.mark.parametrize("priority", [Priority.LOW, Priority.HIGH])
def test_a_priority_prefers_turns_that_can_be_cut_short(priority):
    found = decide(snapshot(gpu()), ask(8, priority=priority))
    assert found.mechanisms == (MechanismName.TIMESLICE, MechanismName.GUARD)
    assert any(f"priority {priority}" in reason for reason in found.why)
    assert f"layer guard: it keeps priority {priority}" in found.why


@pytest.mark.parametrize("priority", [Priority.LOW, Priority.HIGH])
def test_without_the_guard_only_mps_knows_priorities(priority):
    found = decide(snapshot(gpu(), has=("timeslice", "mps")), ask(8, priority=priority))
    assert found.mechanisms == (MechanismName.MPS,)
    neither = decide(snapshot(gpu(), has=("timeslice",)), ask(8, priority=priority))
    assert neither.mechanisms == (MechanismName.TIMESLICE,)
    assert any("neither the guard nor MPS" in reason for reason in neither.why)


def test_of_shares_that_take_turns_only_the_largest_needs_room():
    state = taken(snapshot(gpu(gib=80)), *(ask(n, turns=True) for n in (50, 60, 40)))
    assert isinstance(decide(state, ask(70, turns=True)), Decision)
    assert isinstance(decide(state, ask(20)), Decision)
    beside = decide(state, ask(21))
    assert beside.waits_for == "21 GiB of memory on GPU 0 (20 GiB free)"


def test_shares_that_take_turns_leave_the_others_their_room():
    state = taken(snapshot(gpu(gib=80)), ask(30), ask(40, turns=True))
    assert isinstance(decide(state, ask(50, turns=True)), Decision)
    assert isinstance(decide(state, ask(51, turns=True)), Waiting)


def test_turns_need_host_memory_for_what_is_not_on_the_gpu():
    state = taken(snapshot(gpu(gib=140), host={GpuId("GPU-0"): 24 * GIB}), ask(100, turns=True))
    waits = decide(state, ask(100, turns=True)).waits_for
    assert waits == (
        "100 GiB of memory on GPU 0 (64 GiB free; host memory holds 24 GiB of the others)"
    )
    assert isinstance(decide(state, ask(64, turns=True)), Decision)
    enough = replace(state, host={GpuId("GPU-0"): 100 * GIB})
    assert isinstance(decide(enough, ask(100, turns=True)), Decision)


def test_others_keep_their_room_from_turns_that_host_memory_cannot_hold():
    host = {GpuId("GPU-0"): 24 * GIB}
    state = taken(snapshot(gpu(gib=140), host=host), *(ask(60, turns=True) for _ in range(2)))
    assert isinstance(decide(state, ask(45)), Waiting)  # 96 GiB of the turns stay
    assert isinstance(decide(state, ask(44)), Decision)


def test_turns_share_a_guarantee_of_compute():
    state = taken(snapshot(gpu()), ask(8, 60, turns=True))
    assert isinstance(decide(state, ask(8, 90, turns=True)), Decision)
    assert isinstance(decide(state, ask(8, 50)), Waiting)


def test_turns_are_explained():
    state = taken(snapshot(gpu(gib=80)), ask(50, turns=True))
    found = decide(state, ask(60, turns=True))
    assert any("turns with s0" in reason and "largest" in reason for reason in found.why)
    assert any("stand still" in text for text in found.unprotected)
    assert MechanismName.GUARD in found.mechanisms


def test_turns_without_a_limit_share_the_whole_gpu():
    state = taken(snapshot(gpu(gib=80)), ask(turns=True))
    found = decide(state, ask(turns=True))
    assert found.mechanisms == (MechanismName.TIMESLICE, MechanismName.GUARD)
    assert found.grants[0].limit == 80 * GIB
    assert isinstance(decide(state, ask(1)), Waiting)


def test_turns_need_the_guard():
    with pytest.raises(UnsupportedError) as caught:
        decide(snapshot(gpu(), has=("timeslice", "mps", "driver-limit")), ask(8, turns=True))
    assert "guard: not here" in caught.value.because


@pytest.mark.parametrize(
    ("isolation", "has", "base"),
    [
        (Isolation.LIMITED, ("timeslice", "guard"), "timeslice"),
        (Isolation.STRONG, ("timeslice", "guard", "driver-limit"), "timeslice"),
        (Isolation.HARD, ("timeslice", "guard", "exclusive"), "exclusive"),
    ],
)
def test_isolation_is_kept(isolation, has, base):
    found = decide(snapshot(gpu(), has=has), ask(8, isolation=isolation))
    assert found.mechanisms[0] == base


@pytest.mark.parametrize("isolation", [Isolation.STRONG, Isolation.HARD])
def test_a_gpu_that_others_can_use_isolates_only_from_shares(isolation):
    state = snapshot(gpu(), has=("exclusive",))
    unlocked = [replace(p, card=Exclusive.promise.card) for p in state.promises]
    with pytest.raises(UnsupportedError) as caught:
        decide(replace(state, promises=tuple(unlocked)), ask(isolation=isolation))
    assert "exclusive_compute_mode" in caught.value.because
    assert decide(state, ask(isolation=isolation)).mechanisms == ("exclusive",)


@pytest.mark.parametrize(
    ("isolation", "has"),
    [
        (Isolation.LIMITED, ("timeslice",)),
        (Isolation.STRONG, ("timeslice", "mps", "guard")),
        (Isolation.HARD, ("timeslice", "mps", "guard")),
    ],
)
def test_isolation_that_nothing_gives_is_refused_with_reasons(isolation, has):
    with pytest.raises(UnsupportedError, match=isolation) as caught:
        decide(snapshot(gpu(), has=has), ask(8, isolation=isolation))
    assert caught.value.because


def test_a_mechanism_that_is_missing_says_why():
    with pytest.raises(UnsupportedError, match="mig") as caught:
        decide(snapshot(gpu()), ask(8, mechanism=MechanismName.MIG))
    assert "not here" in caught.value.because


def test_naming_a_layer_means_time_slicing_under_it():
    found = decide(snapshot(gpu()), ask(8, mechanism=MechanismName.GUARD))
    assert found.mechanisms == (MechanismName.TIMESLICE, MechanismName.GUARD)


def test_guaranteed_memory_is_never_given_twice():
    state = taken(snapshot(gpu(gib=80)), ask(50))
    found = decide(state, ask(40))
    assert isinstance(found, Waiting)
    assert found.waits_for == "40 GiB of memory on GPU 0 (30 GiB free)"


def test_reserved_and_foreign_memory_are_not_there_to_grant():
    reserved = snapshot(gpu(gib=80, memory_reserved=GIB))
    with pytest.raises(NeverFitsError):
        decide(reserved, ask(80))
    foreign = replace(snapshot(gpu(gib=80)), foreign={"GPU-0": 30 * GIB})
    assert isinstance(decide(foreign, ask(60)), Waiting)
    assert isinstance(decide(foreign, ask(50)), Decision)


def test_a_percentage_is_of_the_chosen_gpu():
    state = snapshot(gpu(gib=80, memory_reserved=30 * GIB))
    request = replace(ask(), spec=ShareSpec(memory=MemoryAsk(share=20)))
    state = taken(state, *[request] * 5)
    assert [s.decision.grants[0].limit for s in state.shares] == [10 * GIB] * 5
    assert isinstance(decide(state, request), Waiting)


def test_a_request_below_the_limit_is_what_is_guaranteed():
    burst = replace(ask(), spec=ShareSpec(memory=MemoryAsk(limit=60 * GIB, request=20 * GIB)))
    state = taken(snapshot(gpu(gib=80)), burst, burst)
    assert any("not reserved" in text for text in state.shares[0].decision.unprotected)
    assert isinstance(decide(state, ask(41)), Waiting)


def test_compute_requests_add_up_to_the_whole_at_most():
    state = taken(snapshot(gpu()), ask(8, 60))
    found = decide(state, ask(8, 50))
    assert found.waits_for == "50 % of compute on GPU 0 (40 % free)"
    assert isinstance(decide(state, ask(8, 40)), Decision)


def test_the_tightest_fit_is_taken():
    state = taken(snapshot(gpu(0), gpu(1)), ask(60, gpu=("1",)))
    assert decide(state, ask(10)).gpus == ("GPU-1",)
    assert decide(state, ask(30)).gpus == ("GPU-0",)


def test_several_gpus_are_several_grants():
    found = decide(snapshot(gpu(0), gpu(1), gpu(2)), ask(8, gpus=2))
    assert found.gpus == ("GPU-0", "GPU-1")


def test_mps_holds_one_gpu_so_two_are_time_sliced():
    found = decide(snapshot(gpu(0), gpu(1)), ask(8, 50, gpus=2))
    assert found.mechanisms[0] is MechanismName.TIMESLICE


@pytest.mark.parametrize("name", ["1", "GPU-1"])
def test_a_gpu_is_named_by_index_or_uuid(name):
    assert decide(snapshot(gpu(0), gpu(1)), ask(8, gpu=(name,))).gpus == ("GPU-1",)


def test_an_unknown_gpu_is_an_error():
    with pytest.raises(NoSuchGpuError, match="'7'"):
        decide(snapshot(gpu()), ask(8, gpu=("7",)))


def test_a_machine_without_gpus_is_an_error():
    with pytest.raises(NoGpuError):
        decide(snapshot(), ask(8))


@pytest.mark.parametrize("request_", [ask(81), ask(8, gpus=3), ask(200, gpu=("0",))])
def test_what_never_fits_is_refused_at_once(request_):
    with pytest.raises(NeverFitsError) as caught:
        decide(snapshot(gpu(0), gpu(1)), request_)
    assert caught.value.because
    assert caught.value.hint


def test_a_request_above_what_the_limit_comes_to_never_fits():
    for memory in (MemoryAsk(request=90 * GIB), MemoryAsk(share=10, request=20 * GIB)):
        with pytest.raises(NeverFitsError, match="never be free") as caught:
            decide(snapshot(gpu()), replace(ask(), spec=ShareSpec(memory=memory)))
        assert "below the request" in caught.value.because


def test_a_gpu_split_by_mig_or_prohibited_is_not_used():
    split = gpu(0, mig_enabled=True)
    inside = gpu(1, gib=10, parent="GPU-0", mig_enabled=True)
    assert decide(snapshot(split, inside), ask(8)).gpus == ("GPU-1",)
    with pytest.raises(NeverFitsError, match="never be free"):
        decide(snapshot(gpu(compute_mode=ComputeMode.PROHIBITED)), ask(8))


def test_mig_instances_are_used_one_at_a_time_and_last_by_who_asks_for_no_size():
    state = snapshot(gpu(0, mig_enabled=True), gpu(1), gpu(2, 10, parent="GPU-0"))
    state = replace(
        state,
        machine=replace(state.machine, gpus=(*state.machine.gpus, gpu(3, 10, parent="GPU-0"))),
    )
    assert decide(state, ask(8)).gpus == ("GPU-2",)
    assert decide(state, ask()).gpus == ("GPU-1",)
    with pytest.raises(NeverFitsError) as caught:
        decide(state, ask(8, gpus=2))
    assert "only one of those" in caught.value.because


def test_a_lost_gpu_is_waited_for():
    found = decide(snapshot(gpu(health=GpuHealth(lost=True))), ask(8))
    assert found.waits_for == "GPU 0, which is lost"


def test_a_gpu_alone_takes_no_other_share():
    state = taken(snapshot(gpu()), ask())
    assert decide(state, ask(1)).waits_for == "GPU 0, which s0 has alone"
    busy = taken(snapshot(gpu()), ask(1))
    assert "to be empty" in decide(busy, ask()).waits_for


def test_shares_that_take_turns_are_placed_next_to_shares_under_mps():
    sliced = taken(snapshot(gpu()), ask(8))
    assert decide(sliced, ask(8, 30)).mechanisms[0] is MechanismName.MPS
    mps = taken(snapshot(gpu()), ask(8, 30))
    assert decide(mps, ask(8)).mechanisms[0] is MechanismName.TIMESLICE
    assert decide(mps, ask(8, uid=2)).mechanisms[0] is MechanismName.TIMESLICE


def test_mps_serves_one_user_at_a_time():
    state = taken(snapshot(gpu()), ask(8, 30, uid=1))
    named = ask(8, 30, uid=2, mechanism=MechanismName.MPS)
    assert "serves another user" in decide(state, named).waits_for


def full_of_small_shares(*gpus):
    """GPU 0 with as many shares as the guard has slots for, memory left."""
    first = decide(snapshot(gpu(gib=1000)), ask(1))
    small = [holding(first, ask(1), f"s{n}") for n in range(Guard.promise.max_shares)]
    return snapshot(*gpus, shares=tuple(small))


@pytest.mark.parametrize("named", [("1", "0"), ("0", "1")])
def test_gpus_keep_the_order_in_which_they_were_named(named):
    found = decide(snapshot(gpu(0), gpu(1)), ask(8, gpus=2, gpu=named))
    assert found.gpus == tuple(f"GPU-{name}" for name in named)


def test_a_mechanism_that_serves_no_further_share_there_is_used_elsewhere():
    state = full_of_small_shares(gpu(0), gpu(1))
    assert decide(state, ask(1)).gpus == ("GPU-1",)


def test_a_share_waits_where_its_mechanism_serves_as_many_as_it_can():
    state = full_of_small_shares(gpu(0))
    expected = "GPU 0, where guard serves 64 shares, the most it can"
    assert decide(state, ask(1)).waits_for == expected
    aside = replace(
        state.shares[0],
        state=State.SUSPENDED,
        suspension=Suspension(cause=Cause.USER, since=NOW),
    )
    still = replace(state, shares=(aside, *state.shares[1:]))
    assert decide(still, ask(1)).waits_for == expected


def test_no_share_takes_what_the_share_ahead_waits_for():
    state = replace(taken(snapshot(gpu()), ask(50)), queue=(ask(40),))
    found = decide(state, ask(1))
    kept = "GPU 0, kept free for the share ahead of it"
    assert found == Waiting(position=2, waits_for=kept)


def test_a_queue_for_one_gpu_does_not_hold_up_another():
    state = taken(snapshot(gpu(0), gpu(1)), ask(50, gpu=("0",)))
    state = replace(state, queue=(ask(40, gpu=("0",)),))
    assert decide(state, ask(1)).gpus == ("GPU-1",)
    assert isinstance(decide(state, ask(1, gpu=("0",))), Waiting)


def test_a_request_that_can_never_be_granted_delays_no_other():
    state = replace(snapshot(gpu()), queue=(ask(500), ask(1, gpu=("9",))))
    assert isinstance(decide(state, ask(1)), Decision)


def test_the_eta_is_when_enough_of_what_ends_has_ended():
    state = taken(snapshot(gpu()), ask(30), ttl=600)
    state = replace(
        state, shares=(*state.shares, holding(state.shares[0].decision, ask(30), "b", 60))
    )
    assert decide(state, ask(40)).eta == NOW + timedelta(seconds=60)
    assert decide(state, ask(70)).eta == NOW + timedelta(seconds=600)


def test_without_a_ttl_in_the_way_there_is_no_eta():
    assert decide(taken(snapshot(gpu()), ask(50)), ask(40)).eta is None


def test_of_many_equal_reasons_two_are_shown():
    lost = GpuHealth(lost=True)
    found = decide(snapshot(*(gpu(index, health=lost) for index in range(8))), ask(1))
    assert (
        found.waits_for == "GPU 0, which is lost or GPU 1, which is lost or one of 6 more like it"
    )
