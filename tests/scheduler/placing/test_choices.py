# SPDX-License-Identifier: Apache-2.0
"""Without --mechanism a share gets one that can be had now and holds everything asked for."""

import pytest
from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId
from gpushare.model.share import Decision, Level
from gpushare.model.spec import Gang, MechanismName, Priority
from gpushare.scheduler import Waiting, book, decide, place_gang
from support.scheduling.values import NOW, USUAL, ask, gpu, snapshot, spec, taken

MPS, TIMESLICE = MechanismName.MPS, MechanismName.TIMESLICE
ALONE = {"compute_mode": ComputeMode.EXCLUSIVE_PROCESS}


def served(*gpus, **changes):
    """A machine on whose GPUs MPS serves user 1."""
    gpus = gpus or (gpu(),)
    names = [ask(8, 30, uid=1, gpu=(str(one.index),), mechanism=MPS) for one in gpus]
    return taken(snapshot(*gpus, **changes), *names)


def test_a_compute_limit_next_to_another_users_mps_is_held_by_the_guard():
    found = decide(served(), ask(8, 30, uid=2))
    assert found.mechanisms == (TIMESLICE, MechanismName.GUARD)
    assert found.enforcement.compute is Level.COOPERATIVE
    assert any("mps" in why and "another user" in why for why in found.why), found.why


def test_the_same_user_and_an_empty_machine_still_get_mps():
    assert decide(served(), ask(8, 30, uid=1)).mechanisms[0] is MPS
    assert decide(snapshot(gpu()), ask(8, 30, uid=2)).mechanisms[0] is MPS


def test_another_gpu_on_which_the_preferred_mechanism_can_be_had_comes_first():
    state = taken(snapshot(gpu(0), gpu(1)), ask(8, 30, uid=1, gpu=("0",)))
    found = decide(state, ask(8, 30, uid=2))
    assert (found.mechanisms[0], found.gpus) == (MPS, ("GPU-1",))
    assert decide(state, ask(8, 30, uid=2, gpu=("0",))).mechanisms[0] is TIMESLICE


def test_an_explicit_choice_waits_and_says_what_could_be_had():
    waits = decide(served(), ask(8, 30, uid=2, mechanism=MPS)).waits_for
    assert "GPU 0, where mps serves another user" in waits
    assert "without --mechanism it could start now, by timeslice+guard" in waits


def test_an_explicit_choice_that_no_other_could_replace_says_only_what_it_waits_for():
    full = served(gpu(gib=10))
    assert decide(full, ask(8, 30, uid=2, mechanism=MPS)).waits_for == (
        "GPU 0, where mps serves another user (s0)"
    )


def test_without_the_guard_a_limit_that_only_mps_holds_waits_for_mps():
    state = served(has=("timeslice", "mps", "driver-limit"))
    assert "serves another user" in decide(state, ask(8, 30, uid=2)).waits_for


def test_without_the_guard_a_priority_that_only_mps_keeps_waits_for_mps():
    state = served(has=("timeslice", "mps", "driver-limit"))
    waits = decide(state, ask(8, uid=2, priority=Priority.LOW))
    assert "serves another user" in waits.waits_for


def test_what_is_short_is_named_not_a_mechanism_that_could_be_avoided():
    waits = decide(served(gpu(gib=10)), ask(8, 30, uid=2)).waits_for
    assert waits == "8 GiB of memory on GPU 0 (2 GiB free)"


@pytest.mark.parametrize("wish", [{}, {"priority": Priority.HIGH}, {"turns": True}])
def test_a_gpu_that_admits_one_process_is_used_through_mps_when_the_others_are_full(wish):
    state = taken(snapshot(gpu(0, 10), gpu(1, 80, **ALONE)), ask(8, gpu=("0",)))
    found = decide(state, ask(8, **wish))
    assert isinstance(found, Decision), found
    assert (found.mechanisms[0], found.gpus) == (MPS, ("GPU-1",))


def test_a_gpu_whose_mps_server_has_failed_is_shared_by_turns():
    trouble = {GpuId("GPU-0"): {MPS: "its server is in FAULT"}}
    found = decide(snapshot(gpu(), unready=trouble), ask(8, 30))
    assert found.mechanisms[0] is TIMESLICE
    assert any("its server is in FAULT" in why for why in found.why), found.why
    waits = decide(snapshot(gpu(), unready=trouble), ask(8, 30, mechanism=MPS))
    assert "GPU 0, where mps cannot be used now: its server is in FAULT" in waits.waits_for


def test_only_the_gpu_with_the_failed_server_is_avoided():
    trouble = {GpuId("GPU-0"): {MPS: "its server is in FAULT"}}
    found = decide(snapshot(gpu(0), gpu(1), unready=trouble), ask(8, 30))
    assert (found.mechanisms[0], found.gpus) == (MPS, ("GPU-1",))


def test_the_shares_of_a_gang_may_get_different_mechanisms():
    members = [ask(8, 30, uid=2, gang=Gang("g", 2), gpu=(n,)) for n in "01"]
    state = taken(snapshot(gpu(0), gpu(1)), ask(8, 30, uid=1, gpu=("0",)))
    answers = place_gang(state, members)
    assert [one.mechanisms[0] for one in answers] == [TIMESLICE, MPS]


def test_a_reservation_is_not_refused_for_another_users_mps():
    at = ask(8, 30, uid=2, at=NOW, ttl=60)
    assert book(replace(served(), now=NOW), at).mechanisms[0] is TIMESLICE


def test_a_request_in_the_queue_that_could_start_keeps_nothing_from_later_ones():
    first = ask(8, 30, uid=2)
    state = replace(served(), queue=(first,))
    assert isinstance(decide(state, ask(8, uid=3)), Decision)


@pytest.mark.parametrize("wanted", list(MechanismName))
@pytest.mark.parametrize("has", [USUAL, ("timeslice", "mps"), ("timeslice", "guard")])
def test_auto_never_waits_where_a_choice_that_holds_as_much_would_not(wanted, has):
    """Whatever is asked for, next to whatever another user has."""
    for beside in (ask(8, 30, uid=1), ask(8, uid=1)):
        state = taken(snapshot(gpu(), has=has), beside)
        for wish in ({}, {"priority": Priority.LOW}, {"priority": Priority.HIGH}, {"turns": True}):
            for compute in (30, 100):
                named = answer(state, ask(8, compute, uid=2, mechanism=wanted, **wish))
                auto = answer(state, ask(8, compute, uid=2, **wish))
                if isinstance(auto, Waiting) and isinstance(named, Decision):
                    kept = named.enforcement.compute.at_least(Level.COOPERATIVE)
                    assert not kept, (wish, compute)


def answer(state, request):
    try:
        return decide(state, request)
    except GpushareError as error:
        return error


@pytest.mark.parametrize(
    "wish",
    [
        {"near": {"app": "a"}, "apart": {"app": "a"}},
        {"near": {"app": "a", "tier": "1"}, "apart": {"app": "a"}},
    ],
)
def test_neighbours_that_are_wanted_and_not_wanted_are_refused(wish):
    with pytest.raises(GpushareError, match="near"):
        spec(8, **wish)


def test_a_whole_gpu_with_a_neighbour_is_refused():
    with pytest.raises(GpushareError, match="alone"):
        decide(snapshot(gpu()), ask(near={"app": "a"}))


def test_several_gpus_are_under_mps_where_it_is_named_or_nothing_else_holds_the_limit():
    machine = (gpu(0), gpu(1))
    named = decide(snapshot(*machine), ask(8, 30, gpus=2, mechanism=MPS))
    assert (named.mechanisms[0], len(named.gpus)) == (MPS, 2)
    assert decide(snapshot(*machine), ask(8, 30, gpus=2)).mechanisms[0] is TIMESLICE
    bare = decide(snapshot(*machine, has=("timeslice", "mps")), ask(8, 30, gpus=2))
    assert bare.mechanisms[0] is MPS
    assert bare.enforcement.compute is Level.COOPERATIVE


@pytest.mark.parametrize("counts", [(1, 2), (2, 1)])
def test_a_gpu_that_admits_one_process_admits_one_mps_server(counts):
    first, second = (ask(8, gpus=count, gpu=("0", "1")[:count]) for count in counts)
    state = taken(snapshot(gpu(0, **ALONE), gpu(1, **ALONE)), first)
    assert "admits one process and has s0" in decide(state, second).waits_for
