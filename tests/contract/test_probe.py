# SPDX-License-Identifier: Apache-2.0
"""The probe inside real shares, and what the judge makes of its reports."""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gpushare.delivery.host import environment
from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.edits import Edits
from gpushare.model.ids import GpuId
from gpushare.model.share import Decision, Enforcement, Finding, Level, Share, Verification
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB
from gpushare.model.verification import OUT_OF_MEMORY, ProbeReport
from gpushare.verification.arguments import probe_arguments
from gpushare.verification.reading import same_gpu
from gpushare.verification.verdict import verdict_of
from support import native
from support.machine import NATIVE, Machine
from support.mechanics import World
from support.promises import stack
from support.shares import grant, share

pytestmark = pytest.mark.contract
PROBE = NATIVE / "probe" / "gpushare-probe"
TIMESLICE, MPS, GUARD = MechanismName.TIMESLICE, MechanismName.MPS, MechanismName.GUARD
LIMIT = 2 * GIB
AT = datetime(2026, 1, 1, tzinfo=UTC)
# What the driver takes more than a program asks: pools grow in steps of 32 MiB (driver 580).
POOLED = {"cuMemAllocAsync", "cuMemAllocFromPoolAsync", "cuGraphAddMemAllocNode"}


@pytest.fixture
def world(any_machine: Machine, short_path: Path) -> World:
    return World(any_machine, short_path)


def a_share(
    world: World, *by: MechanismName, compute: int = 100, gpu: GpuId | None = None
) -> Share:
    one = grant(gpu or world.snapshot().gpus[0].uuid, LIMIT, compute)
    made = share(one, by=by, id=os.urandom(6).hex())
    promised = Enforcement(
        memory=Level.COOPERATIVE,
        compute=Level.COOPERATIVE if MPS in by else Level.NONE,
        devices=Level.COOPERATIVE,
    )
    decision = Decision(grants=(one,), mechanisms=by, enforcement=promised)
    return msgspec.structs.replace(made, decision=decision)


def probed(world: World, one: Share, edits: Edits, *, fill: bool = False) -> bytes:
    assert one.decision is not None
    env = environment(edits, world.machine.environment)
    arguments = probe_arguments(one.decision, stack(one.decision), fill=fill)
    done = world.machine.run(PROBE, *arguments, env=env)
    no_driver = 7  # its report is complete
    assert done.returncode in {0, no_driver}, done.stdout + done.stderr
    return done.stdout.encode()


def read(text: bytes) -> ProbeReport:
    return msgspec.json.decode(text, type=ProbeReport)


def judged(world: World, one: Share, text: bytes) -> Verification:
    assert one.decision is not None
    gpus = {gpu.uuid: gpu for gpu in world.snapshot().gpus}
    return verdict_of(one.decision, stack(one.decision), ProbeRun(report=text), gpus, AT)


def finding(found: Verification, dimension: str) -> Finding:
    return next(one for one in found.findings if one.dimension == dimension)


def test_every_path_is_refused_next_to_a_running_program(world: World) -> None:
    one = a_share(world, TIMESLICE, GUARD)
    with world.granted(one) as edits, world.program(one, edits) as program:
        assert program.take(512)["result"] == 0
        text = probed(world, one, edits)
        found = judged(world, one, text)
    seen = read(text)
    tried = [a for a in seen.devices[0].attempts if not a.skipped]
    assert seen.guard.attached
    assert len(tried) >= 9
    assert {a.path: (a.result, a.held) for a in tried} == {
        a.path: (OUT_OF_MEMORY, 0) for a in tried
    }
    assert found.ok, found
    assert finding(found, "memory").delivered is Level.COOPERATIVE


def test_what_can_be_allocated_is_the_limit_less_the_context(world: World) -> None:
    one = a_share(world, TIMESLICE, GUARD)
    with world.granted(one) as edits:
        seen = read(probed(world, one, edits, fill=True)).devices[0]
    for attempt in seen.attempts:
        assert attempt.result == OUT_OF_MEMORY, attempt
        assert attempt.held <= LIMIT, attempt
        assert attempt.returned, attempt
        if attempt.path not in POOLED and "1D" not in attempt.path:
            assert attempt.held > LIMIT - (seen.context or 0) - 4 * MIB, attempt


def test_time_slicing_alone_is_caught(world: World) -> None:
    one = a_share(world, TIMESLICE)
    with world.granted(one) as edits:
        found = judged(world, one, probed(world, one, edits))
    assert not found.ok
    assert finding(found, "memory").delivered is Level.NONE


def test_an_unmapped_region_is_caught(world: World) -> None:
    one = a_share(world, TIMESLICE, GUARD)
    with world.granted(one) as edits:
        lost = Edits(env={"GPUSHARE_REGION": "/dev/null/region"})
        found = judged(world, one, probed(world, one, edits | lost))
    assert [one.dimension for one in found.broken] == ["memory"]
    assert "does not reach" in finding(found, "memory").evidence


@pytest.mark.parametrize("any_machine", ["a10-2"], indirect=True)
def test_ways_around_the_guard_lead_to_the_gpu_of_the_share(world: World) -> None:
    gpus = world.snapshot().gpus
    if len(gpus) < 2:
        pytest.skip("needs a machine with several GPUs")
    mine = gpus[1].uuid
    one = a_share(world, TIMESLICE, GUARD, gpu=mine)
    with world.granted(one) as edits:
        text = probed(world, one, edits)
    seen = [(way.name, [device.uuid for device in way.view.devices]) for way in read(text).escapes]
    assert {name for name, _ in seen} >= {"without the guard", "by dlmopen"}
    assert all(any(same_gpu(mine, uuid) for uuid in uuids) for _, uuids in seen), seen
    assert "are free" in finding(judged(world, one, text), "memory").evidence


@pytest.mark.parametrize("any_machine", ["a10-2"], indirect=True)
def test_no_way_makes_a_context_on_the_gpu_of_another_share(world: World) -> None:
    gpus = world.snapshot().gpus
    if len(gpus) < 2:
        pytest.skip("needs a machine with several GPUs")
    one = a_share(world, TIMESLICE, GUARD)
    with world.granted(one) as edits:
        report = read(probed(world, one, edits, fill=True))
    views = [view for way in report.escapes for view in (*way.processes, way.view) if view]
    others = [d for view in views for d in view.devices if not same_gpu(d.uuid, gpus[0].uuid)]
    assert others, "the other GPU is visible by some way"
    assert {(d.context, d.free, d.attempts) for d in others} == {(None, 0, ())}


WFI, LONG = 0, 100_000


@pytest.mark.parametrize("refuse", [False, True])
def test_a_program_asks_the_kernel_module_for_itself(
    machine: Machine, tmp_path: Path, *, refuse: bool
) -> None:
    files = {"GS_SLICES": str(tmp_path / "slices"), "GS_MODES": str(tmp_path / "modes")}
    module = {"LD_PRELOAD": str(native.program("libkernel_module.so"))}
    env = {**files, **module, **({"GS_REFUSE": "1"} if refuse else {})}
    # One GPU, and work may be tried: the tricks make a difference to work only.
    words = ("--fill", "--compute", "--outside", "--path", "cuMemAlloc", "--limit", str(LIMIT))
    report = read(machine.run(PROBE, *words, env=env).stdout.encode())
    tricks = {way.name: way for way in report.escapes if way.work}
    slices = [int(line.split()[2]) for line in (tmp_path / "slices").read_text().splitlines()]
    modes = [int(line.split()[2]) for line in (tmp_path / "modes").read_text().splitlines()]
    assert LONG in slices
    assert modes == [WFI]
    wfi = tricks["with WFI preemption"].view
    assert wfi is not None
    assert ("refuses" in wfi.refused) is refuse
    assert (wfi.devices[0].compute is None) is refuse, "it works where the mode was set"


def test_mps_keeps_its_promise_and_its_escape_is_caught(world: World) -> None:
    one = a_share(world, MPS, GUARD, compute=25)
    with world.granted(one) as edits:
        kept = judged(world, one, probed(world, one, edits))
        trick = Edits(env={"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=4G,1=4G"})
        broken = judged(world, one, probed(world, one, edits | trick))
    assert kept.ok, kept
    assert finding(kept, "compute").delivered is Level.COOPERATIVE
    assert not broken.ok
    assert "drops every limit" in finding(broken, "memory").evidence


def test_nonsense_is_a_usage_error(any_machine: Machine) -> None:
    for words in (("--limit", "x"), ("--limit", "0"), ("--nonsense",), ("word",)):
        done = any_machine.run(PROBE, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage" in done.stderr
