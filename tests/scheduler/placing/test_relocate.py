# SPDX-License-Identifier: Apache-2.0
"""Which other GPU a share that runs may move to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.model.errors import (
    BadSpecError,
    NeverFitsError,
    NoCapacityError,
    NoSuchGpuError,
    NotMigratableError,
)
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Placement, Policy
from gpushare.model.share import Decision, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.scheduler import Snapshot
from gpushare.scheduler.placing.relocate import relocate, why_stays
from support.scheduling.values import ask, gpu, holding, snapshot

GUARDED = (MechanismName.TIMESLICE, MechanismName.GUARD)


def on(gib: int, *gpus: int, name: str = "train", stack=GUARDED) -> Share:
    grants = tuple(
        GpuGrant(
            gpu=GpuId(f"GPU-{index}"),
            limit=Bytes(gib * GIB),
            request=Bytes(gib * GIB),
            compute=Percent(100),
            compute_request=Percent(0),
        )
        for index in gpus
    )
    decision = Decision(grants=grants, mechanisms=stack, why=("by timeslice: as asked",))
    return holding(decision, ask(gib, gpus=len(gpus)), name)


def state(*shares: Share, gpus: int = 3, **changes) -> Snapshot:
    return replace(snapshot(*map(gpu, range(gpus))), shares=shares, **changes)


def test_it_takes_the_place_where_least_is_left_and_says_so() -> None:
    share = on(8, 0)
    decision = relocate(state(share, on(30, 2, name="other")), share)
    assert decision.gpus == ("GPU-2",)
    assert decision.mechanisms == share.decision.mechanisms
    assert decision.grants[0] == replace(share.decision.grants[0], gpu=GpuId("GPU-2"))
    assert decision.why[-1] == "moved from GPU 0 to GPU 2"


def test_a_policy_that_spreads_takes_the_emptiest() -> None:
    share, other = on(8, 0), on(30, 2, name="other")
    spread = state(share, other, policy=Policy(placement=Placement.SPREAD))
    assert relocate(spread, share).gpus == ("GPU-1",)


@pytest.mark.parametrize("name", ["1", "GPU-1"])
def test_a_gpu_may_be_named_by_index_or_uuid(name: str) -> None:
    share = on(8, 0)
    assert relocate(state(share), share, [name]).gpus == ("GPU-1",)


def test_where_it_is_already_nothing_changes() -> None:
    share = on(8, 0)
    assert relocate(state(share), share, ["0"]) is share.decision


def test_several_gpus_are_replaced_one_by_one() -> None:
    share = on(8, 0, 1)
    assert set(relocate(state(share, gpus=4), share).gpus) == {"GPU-2", "GPU-3"}
    assert relocate(state(share, gpus=4), share, ["3", "1"]).gpus == ("GPU-3", "GPU-1")
    with pytest.raises(BadSpecError, match="has 2 GPUs, 1 are named"):
        relocate(state(share), share, ["2"])


def test_room_that_others_have_is_not_taken() -> None:
    share, full = on(60, 0), on(60, 1, name="full")
    with pytest.raises(NoCapacityError, match="cannot move now") as caught:
        relocate(state(share, full, gpus=2), share)
    assert "60 GiB of memory on GPU 1" in caught.value.because
    with pytest.raises(NoCapacityError):
        relocate(state(share, full, gpus=2), share, ["1"])


def test_a_gpu_that_another_share_has_alone_is_not_joined() -> None:
    share, alone = on(8, 0), on(80, 1, name="alone", stack=(MechanismName.EXCLUSIVE,))
    with pytest.raises(NoCapacityError, match="cannot move now"):
        relocate(state(share, alone, gpus=2), share)


def test_another_model_is_refused_by_name_and_never_chosen() -> None:
    share = on(8, 0)
    mixed = replace(snapshot(gpu(0), gpu(1, 141)), shares=(share,))
    with pytest.raises(NotMigratableError) as caught:
        relocate(mixed, share, ["1"])
    assert "another model" in caught.value.because
    with pytest.raises(NotMigratableError, match="train cannot move"):
        relocate(mixed, share)


def test_one_of_a_kind_can_go_nowhere() -> None:
    share = on(8, 0)
    alone = state(share, gpus=1)
    with pytest.raises(NotMigratableError) as caught:
        relocate(alone, share)
    assert caught.value.because == "no other GPU here is like GPU 0"
    assert why_stays(alone.machine, share) == caught.value.because


@pytest.mark.parametrize("pins", [("0",), ("GPU-0",), ("GPU-0", "0")])
def test_what_is_pinned_stays_unless_a_gpu_is_named(pins: tuple[str, ...]) -> None:
    share = on(8, 0)
    share = replace(share, spec=replace(share.spec, gpu=pins))
    two = state(share, gpus=2)
    with pytest.raises(NotMigratableError) as caught:
        relocate(two, share)
    assert "--gpu or CUDA_VISIBLE_DEVICES pins it to GPU" in caught.value.because
    assert caught.value.hint == "gpushare migrate train --to GPU"
    assert why_stays(two.machine, share) == caught.value.because
    assert relocate(two, share, ["1"]).gpus == ("GPU-1",)


def test_one_of_two_pins_may_be_free() -> None:
    share = on(8, 0)
    share = replace(share, spec=replace(share.spec, gpu=("0", "2")))
    three = state(share)
    assert relocate(three, share).gpus == ("GPU-2",)
    assert why_stays(three.machine, share) == ""


def test_what_its_selectors_exclude_is_said() -> None:
    share = on(8, 0)
    share = replace(share, spec=replace(share.spec, select=("uuid=GPU-0",)))
    two = state(share, gpus=2)
    with pytest.raises(NotMigratableError) as caught:
        relocate(two, share)
    assert caught.value.because == "GPU 1 is not uuid=GPU-0: its uuid is GPU-1"
    assert why_stays(two.machine, share) == caught.value.because


def test_one_of_several_gpus_without_a_substitute_keeps_all() -> None:
    share = on(8, 0, 1)
    mixed = replace(snapshot(gpu(0), gpu(1, 141), gpu(2)), shares=(share,))
    assert why_stays(mixed.machine, share) == "no other GPU here is like GPU 1"


def test_mps_and_unknown_gpus_are_refused() -> None:
    share = on(8, 0, stack=(MechanismName.MPS, MechanismName.GUARD))
    with pytest.raises(NotMigratableError) as caught:
        relocate(state(share), share)
    assert "MPS" in caught.value.because
    share = on(8, 0)
    with pytest.raises(NoSuchGpuError, match="'9'"):
        relocate(state(share), share, ["9"])


def test_a_gpu_split_by_mig_never_holds_it() -> None:
    share = on(8, 0)
    split = replace(snapshot(gpu(0), gpu(1, mig_enabled=True)), shares=(share,))
    with pytest.raises(NeverFitsError):
        relocate(split, share, ["1"])
    with pytest.raises((NotMigratableError, NeverFitsError)):
        relocate(split, share)


@given(st.lists(st.tuples(st.integers(1, 80), st.integers(0, 3)), max_size=8), st.integers(1, 80))
def test_nothing_is_promised_twice(others: list[tuple[int, int]], size: int) -> None:
    used = [0, 0, 0, 0]
    shares = []
    for number, (gib, index) in enumerate(others):
        if used[index] + gib <= 80 - (size if index == 0 else 0):
            used[index] += gib
            shares.append(on(gib, index, name=f"other{number}"))
    share = on(size, 0)
    try:
        (chosen,) = relocate(state(share, *shares, gpus=4), share).gpus
    except NoCapacityError:
        assert all(used[index] + size > 80 for index in (1, 2, 3))
    else:
        assert chosen != "GPU-0"
        assert used[int(chosen[-1])] + size <= 80
