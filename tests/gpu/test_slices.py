# SPDX-License-Identifier: Apache-2.0
"""Whether the driver's library says how long its contexts have the GPU, and takes other values."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.contract.test_sharing import Sharing, finish, until

from gpushare.guard import GpuPage
from gpushare.hardware.linux.host_memory import LinuxHostMemory
from gpushare.mechanisms.shm_paths import seen_by_gpus
from gpushare.model.spec import Priority
from support.machine import real
from support.mechanics import World

pytestmark = pytest.mark.gpu


@pytest.fixture
def world(short_path: Path) -> World:
    return World(real(), short_path)


@pytest.fixture
def sharing(world: World) -> Iterator[Sharing]:
    with ExitStack() as stack:
        yield Sharing(world, stack)


def test_slices_by_rank_are_taken(sharing: Sharing, world: World) -> None:
    service, _ = sharing.start("serve", "300000", "700", priority=Priority.HIGH)
    job, _ = sharing.start("work", "5000000", priority=Priority.LOW)

    boards = seen_by_gpus(LinuxHostMemory(Path("/")), world.folder / "boards")
    board = GpuPage(boards / world.snapshot().gpus[0].uuid)

    def slices() -> list[int]:
        return [slot.timeslice_us for slot in board.snapshot().share_slots]

    until(lambda: slices() == [10_000, 80], "the driver's own slices stay")
    assert finish(job) > 0
    assert finish(service) > 0
