# SPDX-License-Identifier: Apache-2.0
"""Work that waits, is throttled, or leaves the GPU and comes back: none of it comes out wrong."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpushare.delivery.host import environment
from gpushare.guard import Phase, Region
from gpushare.guard.region import Flag
from gpushare.model.spec import MechanismName, Priority
from gpushare.model.units import GIB, Bytes
from support import native
from support.daemon import until
from support.machine import Machine
from support.mechanics import World
from support.shares import grant, share

pytestmark = pytest.mark.contract
ROUNDS, MANY_ROUNDS = "20000", "300000"


class Sharing:
    """Programs in shares of their own on one GPU."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self._world, self._stack = world, stack
        self._gpu = world.snapshot().gpus[0].uuid

    def start(
        self, *work: str, priority: Priority = Priority.NORMAL, compute: int = 100
    ) -> tuple[subprocess.Popen[str], Region]:
        by = (MechanismName.TIMESLICE, MechanismName.GUARD)
        wanted = grant(self._gpu, 2 * GIB, compute)
        one = share(wanted, by=by, id=os.urandom(6).hex(), priority=priority)
        edits = self._stack.enter_context(self._world.granted(one))
        region = Region(self._world.folder / "regions" / one.id)
        region.set_flags(Flag.MOVABLE)
        env = environment(edits, self._world.machine.environment)
        process = self._world.machine.start(
            native.program("gate_test"), *work, env=env, stdin=subprocess.PIPE
        )
        self._stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
        return process, region


@pytest.fixture
def sharing(any_machine: Machine, short_path: Path) -> Iterator[Sharing]:
    with ExitStack() as stack:
        yield Sharing(World(any_machine, short_path), stack)


def finish(process: subprocess.Popen[str]) -> int:
    out, err = process.communicate("", timeout=100)
    assert process.returncode == 0, err
    return int(out)


def test_a_job_next_to_urgent_work_comes_out_right(sharing: Sharing) -> None:
    service, _ = sharing.start("serve", "300000", "700", priority=Priority.HIGH)
    job, _ = sharing.start("order", ROUNDS, priority=Priority.LOW)
    assert finish(job) == int(ROUNDS)
    assert finish(service) > 0


def test_a_throttled_job_comes_out_right(sharing: Sharing) -> None:
    job, _ = sharing.start("order", "3000", compute=20)
    assert finish(job) == 3000


def test_a_job_that_leaves_and_returns_comes_out_right(sharing: Sharing) -> None:
    job, region = sharing.start("order", MANY_ROUNDS)
    left = 0
    while left < 3 and job.poll() is None:
        region.suspend(Bytes(0))
        until(lambda: phases(region) == {Phase.AWAY} or job.poll() is not None, "it does not leave")
        left += phases(region) == {Phase.AWAY}
        region.resume()
        until(lambda: phases(region) <= {Phase.RUNS}, "it does not return")
    assert left > 0
    assert finish(job) == int(MANY_ROUNDS)


def phases(region: Region) -> set[Phase]:
    return {slot.phase for slot in region.snapshot().slots}
