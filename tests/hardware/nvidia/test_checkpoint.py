# SPDX-License-Identifier: Apache-2.0
"""Which map of GPUs a restore is given."""

from hypothesis import given
from hypothesis import strategies as st

from gpushare.hardware.nvidia.checkpoint import permutation
from gpushare.model.ids import GpuId

ALL = tuple(GpuId(f"GPU-{n}") for n in range(8))


@st.composite
def moves(draw: st.DrawFn) -> dict[GpuId, GpuId]:
    old = draw(st.lists(st.sampled_from(ALL), unique=True, min_size=1))
    return dict(zip(old, draw(st.permutations(ALL)), strict=False))


@given(moves())
def test_every_gpu_stands_once_on_either_side(wanted: dict[GpuId, GpuId]) -> None:
    whole = permutation(wanted, ALL)
    assert set(whole) == set(whole.values()) == set(ALL)
    assert wanted.items() <= whole.items()


@given(moves())
def test_who_is_not_in_the_way_stays(wanted: dict[GpuId, GpuId]) -> None:
    whole = permutation(wanted, ALL)
    idle = set(ALL) - set(wanted) - set(wanted.values())
    assert all(whole[gpu] == gpu for gpu in idle)
