# SPDX-License-Identifier: Apache-2.0
"""Shares made real by each mechanism, felt by a program inside them."""

import os
from pathlib import Path

import pytest

from gpushare.model.share import Share
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB
from support.machine import Machine
from support.mechanics import World
from support.shares import grant, share

pytestmark = pytest.mark.contract
TIMESLICE, MPS, GUARD, EXCLUSIVE = (
    MechanismName.TIMESLICE,
    MechanismName.MPS,
    MechanismName.GUARD,
    MechanismName.EXCLUSIVE,
)
OUT_OF_MEMORY, CLIENT_TERMINATED = 2, 810


@pytest.fixture
def world(any_machine: Machine, short_path: Path) -> World:
    return World(any_machine, short_path)


def a_share(world: World, *by: MechanismName, limit: int = 2 * GIB, compute: int = 100) -> Share:
    gpu = world.snapshot().gpus[0]
    return share(grant(gpu.uuid, limit, compute), by=by, id=os.urandom(6).hex())


def test_the_guard_holds_the_limit_and_shows_it(world: World) -> None:
    one = a_share(world, TIMESLICE, GUARD, limit=2 * GIB)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert program.started == 0
        assert program.look()["total"] == 2 * GIB
        taken = program.take(4096)
        assert taken["result"] == OUT_OF_MEMORY
        assert GIB <= taken["held"] <= 2 * GIB
        seen = world.observe(one)
        assert next(iter(seen["used"].values())) >= taken["held"]
        assert seen["denied"] >= 1
        assert program.pid in seen["pids"]


def test_time_slicing_alone_limits_nothing(world: World) -> None:
    one = a_share(world, TIMESLICE, limit=2 * GIB)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert program.take(3072) == {"result": 0, "held": 3 * GIB}


def test_exclusive_is_the_whole_gpu(world: World) -> None:
    one = a_share(world, EXCLUSIVE)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert program.look()["total"] > 16 * GIB


def test_mps_narrows_multiprocessors_and_memory(world: World) -> None:
    quarter = a_share(world, MPS, limit=4 * GIB, compute=25)
    whole = world.snapshot().gpus[0].sm_count
    assert whole is not None
    with world.granted(quarter) as edits, world.program(quarter, edits) as program:
        assert program.started == 0
        assert 0 < program.look()["units"] < whole // 2
        taken = program.take(8192)
        assert taken["result"] == OUT_OF_MEMORY
        assert 3 * GIB <= taken["held"] <= 4 * GIB
        (client,) = world.mps.control(quarter.decision.gpus).clients()
        assert client.pid == program.pid


def test_mps_and_the_guard_go_together(world: World) -> None:
    one = a_share(world, MPS, GUARD, limit=3 * GIB, compute=50)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert program.look()["total"] == 3 * GIB
        taken = program.take(8192)
        assert taken["result"] == OUT_OF_MEMORY
        assert 2 * GIB <= taken["held"] <= 3 * GIB


def test_a_drained_client_ends_and_its_neighbour_goes_on(world: World) -> None:
    one, other = a_share(world, MPS), a_share(world, MPS)
    gpu = one.decision.gpus[0]
    with (
        world.granted(one) as edits,
        world.granted(other) as others,
        world.program(one, edits) as program,
        world.program(other, others) as neighbour,
    ):
        program.take(64)
        neighbour.take(64)
        assert (program.touch(), neighbour.touch()) == (0, 0)
        control = world.mps.control((gpu,))
        (mine,) = [client for client in control.clients() if client.pid == program.pid]
        control.terminate(mine)
        assert program.touch() == CLIENT_TERMINATED
        program.kill()
        assert neighbour.touch() == 0
    assert world.mps.holders() == {}


def test_one_daemon_serves_all_shares_of_a_gpu(world: World) -> None:
    one, other = a_share(world, MPS), a_share(world, MPS)
    with world.granted(one) as edits, world.granted(other) as others:
        pipe = "CUDA_MPS_PIPE_DIRECTORY"
        assert edits.env[pipe] == others.env[pipe]
        with world.program(one, edits) as program, world.program(other, others) as neighbour:
            clients = world.mps.control(one.decision.gpus).clients()
            assert {client.pid for client in clients} == {program.pid, neighbour.pid}
            assert len({client.server for client in clients}) == 1
