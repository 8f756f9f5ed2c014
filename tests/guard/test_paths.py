# SPDX-License-Identifier: Apache-2.0
"""Every allocation path of the driver, under the guard, on a simulated machine."""

import json

import pytest

from gpushare.guard import Flag, native_root
from gpushare.model.units import MIB

SCENARIOS = [
    "plain",
    "managed_stays_managed",
    "device_heap",
    "pinned_host_memory_is_free",
    "default_pool",
    "own_pool_caches_and_is_trimmed",
    "current_pool_is_charged",
    "virtual_memory_counts_references",
    "imports_are_free",
    "arrays",
    "graphs",
    "captured",
    "nodes_by_type_and_child_graphs",
    "contexts",
    "view",
]
STEP = 32 * MIB  # in which the driver grows pools


FLAGS = pytest.mark.parametrize("flags", [Flag(0), Flag.MOVABLE], ids=["native", "movable"])


@FLAGS
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_charges_and_returns(guarded, native_test, scenario, flags) -> None:
    share = guarded(256 * MIB)
    share.region.set_flags(flags)
    ran = share.run(native_test("paths_test"), scenario)
    assert ran.returncode == 0, ran.stderr
    assert share.gpu.peak <= share.gpu.limit
    assert share.region.snapshot().unhooked == 0


def test_every_way_to_a_hooked_function_leads_through_the_guard(guarded, native_test) -> None:
    share = guarded(256 * MIB)
    ran = share.run(native_test("address_test"))
    assert ran.returncode == 0, ran.stderr


@FLAGS
def test_no_path_gets_more_than_the_limit_nor_much_less(guarded, flags) -> None:
    share = guarded(500 * MIB)
    share.region.set_flags(flags)
    probe = native_root() / "probe" / "gpushare-probe"
    ran = share.run(probe, "--fill", "--no-escapes", "--limit", str(share.gpu.limit))
    attempts = json.loads(ran.stdout)["devices"][0]["attempts"]
    assert len(attempts) > 10
    for attempt in attempts:
        coarse = (
            "Pool" in attempt["path"] or "Async" in attempt["path"] or "raph" in attempt["path"]
        )
        lowest = 500 * MIB - (STEP if coarse else 4 * MIB)
        assert lowest <= attempt["held"] <= 500 * MIB or attempt["skipped"], attempt
    assert share.gpu.peak <= share.gpu.limit
    assert share.gpu.used == 0
