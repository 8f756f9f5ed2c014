# SPDX-License-Identifier: Apache-2.0
"""Cordoned GPUs take no share: new ones, ones that move and ones that come back."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from gpushare.model.errors import NoCapacityError
from gpushare.model.gpu import GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.operations.cordon import NODE, Cordon
from gpushare.model.share import Decision, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.scheduler import Snapshot, decide
from gpushare.scheduler.placing.change import hindrance
from gpushare.scheduler.placing.relocate import relocate
from support.scheduling.values import ask, gpu, holding, snapshot

AT = datetime(2026, 11, 30, tzinfo=UTC)
STACK = (MechanismName.TIMESLICE, MechanismName.GUARD)


def cordon(target: str = "GPU-0", *, automatic: bool = False, reason: str = "fan") -> Cordon:
    by = "" if automatic else "ada"
    return Cordon(target=target, at=AT, by=by, reason=reason, automatic=automatic)


def state(*cordoned: int, gpus: int = 2, **changes: object) -> Snapshot:
    by_index = {index: (cordon(f"GPU-{index}"),) for index in cordoned}
    machine = [gpu(index, cordons=by_index.get(index, ())) for index in range(gpus)]
    return replace(snapshot(*machine), **changes)


def share_on(index: int) -> Share:
    size = Bytes(8 * GIB)
    grant = GpuGrant(
        gpu=GpuId(f"GPU-{index}"),
        limit=size,
        request=size,
        compute=Percent(100),
        compute_request=Percent(0),
    )
    return holding(Decision(grants=(grant,), mechanisms=STACK, why=()), ask(8), "train")


@pytest.mark.parametrize("index", [0, 1])
def test_a_new_share_lands_elsewhere(index: int) -> None:
    assert decide(state(index), ask(8)).gpus == (f"GPU-{1 - index}",)


def test_a_request_for_more_gpus_than_are_offered_waits_and_is_not_refused_for_ever() -> None:
    waits = decide(state(0), ask(8, gpus=2)).waits_for
    assert "GPU 0, which is cordoned by ada: fan" in waits


def test_where_all_are_cordoned_requests_wait() -> None:
    assert "cordoned" in decide(state(0, 1), ask(8)).waits_for


def test_a_person_comes_before_the_daemon_in_what_is_said() -> None:
    sick = GpuHealth(recovery=1)
    both = gpu(0, health=sick, cordons=(cordon(), cordon(automatic=True, reason="needs a reset")))
    assert both.withheld == "is cordoned by ada: fan"
    alone = gpu(0, health=sick, cordons=(cordon(automatic=True, reason="needs a reset"),))
    expected = "needs a reset, the driver reports, and is cordoned automatically"
    assert alone.withheld == expected
    forgotten = gpu(0, cordons=(cordon(automatic=True, reason="needs a reset (Xid 140)"),))
    expected = "is cordoned automatically, because it needs a reset (Xid 140)"
    assert forgotten.withheld == expected
    assert gpu(0, cordons=(cordon(NODE, reason=""),)).withheld == (
        "is cordoned with the whole machine by ada"
    )


def test_nothing_moves_to_a_cordoned_gpu() -> None:
    train = share_on(0)
    assert relocate(state(1, gpus=3, shares=(train,)), train).gpus == ("GPU-2",)
    for to in ((), ("1",)):
        with pytest.raises(NoCapacityError, match="cordoned"):
            relocate(state(1, shares=(train,)), train, to)


def test_what_is_on_a_cordoned_gpu_can_move_away() -> None:
    train = share_on(0)
    assert relocate(state(0, shares=(train,)), train).gpus == ("GPU-1",)


def test_a_suspended_share_returns_to_a_gpu_that_the_daemon_cordoned_but_not_a_person() -> None:
    train = share_on(0)
    assert "cordoned by ada" in hindrance(state(0, shares=(train,)), train)
    automatic = gpu(0, cordons=(cordon(automatic=True),))
    assert hindrance(replace(snapshot(automatic), shares=(train,)), train) == ""
