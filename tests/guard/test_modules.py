# SPDX-License-Identifier: Apache-2.0
"""What modules and libraries take: their variables count, from whatever image they come."""

import pytest

from gpushare.guard import Flag
from gpushare.model.units import MIB

SCENARIOS = [
    "a_variable_is_charged_and_given_back",
    "more_than_the_share_has_is_refused",
    "every_declaration_counts",
    "a_small_module_costs_nothing",
    "a_library_is_charged",
    "it_ends_with_its_context",
    "a_cubin_and_a_fat_binary_are_charged",
    "a_file_is_charged",
    "images_that_are_none_are_left_to_the_driver",
]


@pytest.mark.parametrize("flags", [Flag(0), Flag.MOVABLE], ids=["native", "movable"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_modules_are_charged(guarded, native_test, scenario, flags) -> None:
    share = guarded(256 * MIB)
    share.region.set_flags(flags)
    ran = share.run(native_test("module_test"), scenario)
    assert ran.returncode == 0, ran.stderr
    assert share.region.snapshot().unhooked == 0
