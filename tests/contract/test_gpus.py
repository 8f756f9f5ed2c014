# SPDX-License-Identifier: Apache-2.0
"""What NVML says of a machine, simulated or real."""

from pathlib import Path

import pytest

from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB
from support.machine import Machine
from support.mechanics import World
from support.shares import grant, share

pytestmark = pytest.mark.contract


@pytest.fixture
def world(any_machine: Machine, short_path: Path) -> World:
    return World(any_machine, short_path)


def test_every_gpu_is_described(world: World) -> None:
    found = world.snapshot()
    assert found.gpus
    for gpu in found.gpus:
        assert gpu.uuid.startswith(("GPU-", "MIG-"))
        assert gpu.usable > GIB
        assert gpu.memory_used < gpu.memory_total
        assert gpu.sm_count
        assert gpu.compute_capability
        assert gpu.driver.split(".")[0].isdecimal()
        assert gpu.simulated is (world.machine.image is not None)
        assert not gpu.health.lost
    assert {gpu.uuid for gpu in found.gpus if not gpu.parent} == set(found.links)


def test_a_gpu_can_be_shared_or_says_why_not(world: World) -> None:
    found = world.snapshot()
    for name in MechanismName:
        assert found.has(name) or found.why_not(name)
    assert found.has(MechanismName.TIMESLICE)
    assert found.has(MechanismName.GUARD)


def test_a_program_is_listed_with_its_memory(world: World) -> None:
    one = share(grant(world.snapshot().gpus[0].uuid), id="c0ffee000000")
    with world.granted(one) as edits, world.program(one, edits) as program:
        program.take(256)
        gpu = world.snapshot().gpus[0]
        (mine,) = [process for process in gpu.processes if process.pid == program.pid]
        assert mine.memory is not None
        assert mine.memory >= 256 * MIB
        assert gpu.memory_used >= mine.memory
