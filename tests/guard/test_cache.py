# SPDX-License-Identifier: Apache-2.0
"""Allocation from blocks that can be moved: reuse, small ones, pointers."""

import pytest

from gpushare.guard import Flag
from gpushare.model.units import MIB

SCENARIOS = [
    "is_used_again",
    "small_allocations_share_pages",
    "bounded",
    "makes_room",
    "makes_room_for_others",
    "a_dead_process_caches_nothing",
    "pointers_show_allocations",
    "wrong_frees_fail",
    "nothing_is_reused_during_a_capture",
    "pitched",
    "ends_with_its_context",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_allocates_from_blocks(guarded, native_test, scenario) -> None:
    share = guarded(512 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    ran = share.run(native_test("cache_test"), scenario)
    assert ran.returncode == 0, ran.stderr
    assert share.region.snapshot().unhooked == 0
