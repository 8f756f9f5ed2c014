# SPDX-License-Identifier: Apache-2.0
"""What only a simulated machine can show: drivers that do not exist here, and faults on demand."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.mps.daemons import MpsDaemons
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.model.share import Share
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB
from support.machine import Machine
from support.mechanics import World
from support.shares import GPU, grant, share

OUT_OF_MEMORY, SERVER_NOT_READY, CLIENT_TERMINATED = 2, 807, 810
MPS, TIMESLICE = MechanismName.MPS, MechanismName.TIMESLICE
LIMITS = """
import sys, json, msgspec
from gpushare.hardware.nvidia.nvml import Nvml
from gpushare.hardware.nvidia.memory_limits import NvmlMemoryLimits
limit = NvmlMemoryLimits(Nvml()).memory_limit(sys.argv[1], sys.argv[2])
print(json.dumps(msgspec.to_builtins(limit)))
"""
EXCLUSIVE = """
import sys, msgspec
from pathlib import Path
from gpushare.hardware.host import Host
from gpushare.mechanisms import load
from gpushare.hardware.mps.daemons import MpsDaemons
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.model.share import Share
folder, share = Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Share)
host = Host.open(folder)
gpu = share.decision.gpus[0]
load(host, folder, context=lambda _: 0, lock=True).prepare(share)
print(host.gpus.compute_mode(gpu))
load(host, folder, context=lambda _: 0).release(share)
print(host.gpus.compute_mode(gpu))
"""


@pytest.fixture
def world(machine: Machine, short_path: Path) -> World:
    return World(machine, short_path)


def a_share(*by: MechanismName, limit: int = 2 * GIB) -> Share:
    return share(grant(GPU, limit), by=by, id=os.urandom(6).hex())


def limit_of(world: World, cgroup: str) -> Any:
    done = world.machine.python(LIMITS, GPU, cgroup)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
def test_the_driver_limits_the_group_of_a_share(world: World) -> None:
    cgroups = FsCgroups()
    if os.geteuid() != 0 or cgroups.version != 2 or cgroups.reason():
        pytest.skip("the driver's limits need root and cgroup v2")
    one = a_share(TIMESLICE, MechanismName.DRIVER_LIMIT, limit=2 * GIB)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert edits.cgroup is not None
        assert edits.preload == ()
        assert limit_of(world, edits.cgroup)["hard"] == 2 * GIB
        taken = program.take(4096)
        assert taken["result"] == OUT_OF_MEMORY
        assert GIB <= taken["held"] <= 2 * GIB
        assert program.look()["total"] == 2 * GIB
        assert next(iter(world.observe(one)["used"].values())) >= taken["held"]
        program.kill()
    assert not Path(edits.cgroup).exists()


def test_exclusive_locks_and_unlocks_the_gpu(world: World, short_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may set the compute mode")
    one = a_share(MechanismName.EXCLUSIVE)
    import msgspec  # noqa: PLC0415

    done = world.machine.python(EXCLUSIVE, str(short_path), msgspec.json.encode(one).decode())
    assert done.stdout.split() == ["exclusive-process", "default"], done.stderr


def test_a_fault_reaches_all_clients_is_blamed_and_passes(
    world: World, until: Callable[..., object]
) -> None:
    one, other = a_share(MPS), a_share(MPS)
    with world.granted(one) as edits, world.granted(other) as others:
        with world.program(one, edits) as culprit, world.program(other, others) as victim:
            culprit.take(64)
            victim.take(64)
            world.machine.fault("gpu=0", f"pid={culprit.pid}", "xid=31")
            assert culprit.touch() != 0
            assert victim.touch() != 0, "a fault under MPS reaches every client"
            assert "FAULT" in world.observe(other)["fault"]
            blamed = [culprit.pid]  # the server writes its log a moment after the fault
            until(lambda: world.observe(other)["blamed"] == blamed, "the log to name the culprit")
            with world.program(other, others) as late:
                assert late.started == SERVER_NOT_READY
            assert world.act("mend") == [], "clients are still there"
        world.act("mend")
        with world.program(other, others) as fresh:
            assert fresh.started == 0
            assert fresh.take(64)["result"] == 0
        assert world.observe(other)["fault"] == ""


def test_a_gpu_that_is_lost_lets_its_shares_go(world: World) -> None:
    one = a_share(TIMESLICE, MechanismName.GUARD)
    with world.granted(one):
        world.machine.fault("gpu=0", "lost=1")
    assert not any((world.folder / "regions").iterdir())


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
def test_clients_of_a_daemon_of_the_third_protocol(machine: Machine, short_path: Path) -> None:
    daemons = MpsDaemons(short_path / "mps", ProcProcesses(), machine.environment, protocol=3)
    world, one, mechanism = World(machine, short_path), a_share(MPS), MpsMechanism(daemons)
    edits = mechanism.prepare(one, [grant(GPU, 4 * GIB, 25)])
    try:
        with world.program(one, edits) as program:
            assert program.look()["units"] == 32
            assert program.take(64)["result"] == 0
            assert [client.pid for client in world.mps.control((GPU,)).clients()] == [program.pid]
            mechanism.drain(one, [program.pid])
            assert program.touch() == CLIENT_TERMINATED
    finally:
        mechanism.release(one)
    assert world.mps.holders() == {}


def test_a_server_that_lost_its_daemon_ends_with_its_share(world: World) -> None:
    one = a_share(MPS)
    with world.granted(one) as edits, world.program(one, edits) as program:
        program.take(64)
        (server,) = world.mps.control((GPU,)).servers()
        orphan = ProcProcesses().find(server.pid)
        daemon = json.loads((world.folder / "mps" / GPU / "daemon").read_bytes())["process"]
        os.kill(daemon["pid"], signal.SIGKILL)
        assert orphan is not None
        assert ProcProcesses().alive(orphan), "its clients go on"
        assert "no MPS control daemon" in world.observe(one)["fault"]
        MpsMechanism(world.mps).release(one)
        program.kill()
    assert not ProcProcesses().alive(orphan)
