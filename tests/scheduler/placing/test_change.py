# SPDX-License-Identifier: Apache-2.0
"""What may change about shares that have their place."""

import pytest
from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError, NoCapacityError, UnsupportedError
from gpushare.model.gpu import GpuHealth
from gpushare.model.share import Cause, State, Suspension
from gpushare.model.spec import ComputeAsk, Priority
from gpushare.model.units import GIB
from gpushare.scheduler import Waiting, decide, hindrance, regrant
from support.scheduling.values import NOW, ask, gpu, holding, snapshot, spec


def state_of(*requests, gib=80):
    """A state in which each request has its place, whether it fits or not."""
    state = snapshot(gpu(gib=gib))
    shares = [holding(decide(state, each), each, f"s{n}") for n, each in enumerate(requests)]
    return replace(state, shares=tuple(shares))


def suspended(share, cause=Cause.USER):
    return replace(share, state=State.SUSPENDED, suspension=Suspension(cause=cause, since=NOW))


def test_others_may_have_the_room_of_a_suspended_share():
    state = state_of(ask(60))
    assert isinstance(decide(state, ask(60)), Waiting)
    aside = replace(state, shares=(suspended(state.shares[0]),))
    assert not isinstance(decide(aside, ask(60)), Waiting)


def test_a_share_that_waits_for_its_turn_keeps_its_room():
    state = state_of(ask(60, turns=True))
    turned = replace(state, shares=(suspended(state.shares[0], Cause.TURN),))
    assert isinstance(decide(turned, ask(60)), Waiting)


def test_coming_back_needs_room_again():
    state = state_of(ask(60), ask(60))
    first, second = state.shares
    state = replace(state, shares=(suspended(first), second))
    assert hindrance(state, first) == "60 GiB of memory on GPU 0 (20 GiB free)"
    assert hindrance(replace(state, shares=(suspended(first),)), first) == ""


def test_coming_back_to_a_lost_gpu_waits_for_it():
    state = state_of(ask(60))
    lost = replace(
        state.machine, gpus=(replace(state.machine.gpus[0], health=GpuHealth(lost=True)),)
    )
    assert "lost" in hindrance(replace(state, machine=lost), state.shares[0])


def test_coming_back_waits_for_a_gpu_that_another_share_has_alone():
    state = state_of(ask(20), ask())
    first, alone = state.shares
    assert "has alone" in hindrance(replace(state, shares=(suspended(first), alone)), first)


def test_limits_change_where_there_is_room():
    state = state_of(ask(20, 30), ask(40))
    share = state.shares[0]
    found = regrant(state, share, replace(share, spec=spec(40, 90)))
    assert (found.grants[0].limit, found.grants[0].compute) == (40 * GIB, 90)
    assert found.mechanisms == share.decision.mechanisms
    with pytest.raises(NoCapacityError) as caught:
        regrant(state, share, replace(share, spec=spec(41, 30)))
    assert "40 GiB free" in caught.value.because


def test_limits_above_the_gpu_never_fit():
    state = state_of(ask(20))
    with pytest.raises(NeverFitsError):
        regrant(state, state.shares[0], replace(state.shares[0], spec=spec(81)))


def test_a_suspended_share_may_grow_beyond_what_is_free_now():
    state = state_of(ask(20), ask(40))
    first = suspended(state.shares[0])
    assert regrant(state, first, replace(first, spec=spec(60))).grants[0].limit == 60 * GIB


@pytest.mark.parametrize(
    "change",
    [{"compute": ComputeAsk(limit=50)}, {"priority": Priority.LOW}, {"memory": spec(8).memory}],
)
def test_what_the_mechanisms_cannot_change_is_refused(change):
    state = state_of(ask())
    share = state.shares[0]
    with pytest.raises(UnsupportedError) as caught:
        regrant(state, share, replace(share, spec=replace(share.spec, **change)))
    assert "exclusive" in caught.value.because
