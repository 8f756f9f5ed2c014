# SPDX-License-Identifier: Apache-2.0
"""Memory that leaves the GPU and comes back, at the same addresses, on a simulated machine."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

from gpushare.guard import Flag, library
from gpushare.model.units import MIB

SCENARIOS = [
    "cycles",
    "gives_its_memory_up",
    "keeps_a_part",
    "copies_nothing_twice",
    "refuses_what_cannot_move",
    "graphs_hold_addresses",
    "waits_for_work",
    "streams_with_host_functions",
    "a_capture_is_awaited",
    "calls_wait",
    "children_start_afresh",
]
UNIT = MIB


@pytest.fixture
def pool(tmp_path: Path) -> Callable[[int], Path]:
    """A pool of host memory of so many bytes."""

    def make(size: int) -> Path:
        folder = tmp_path / "swap"
        folder.mkdir(exist_ok=True)
        native = library()
        native.gpushare_swap_create.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64]
        assert native.gpushare_swap_create(bytes(folder), size, UNIT) == 0
        return folder

    return make


@pytest.mark.parametrize("ahead", [False, True], ids=["cold", "ahead"])
@pytest.mark.parametrize("pooled", [False, True], ids=["own", "pool"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_moves(guarded, native_test, pool, scenario, pooled, ahead) -> None:
    share = guarded(512 * MIB)
    share.region.set_flags(Flag.MOVABLE | (Flag.AHEAD if ahead else Flag(0)))
    env = {"GPUSHARE_SWAP": str(pool(1024 * MIB))} if pooled else {}
    ran = share.run(native_test("move_test"), scenario, env=env)
    assert ran.returncode == 0, ran.stderr
    assert share.region.snapshot().unhooked == 0
    assert share.gpu.peak <= share.gpu.limit
