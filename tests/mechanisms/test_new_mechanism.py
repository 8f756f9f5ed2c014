# SPDX-License-Identifier: Apache-2.0
"""A new mechanism is one file: its class and its promise, and nothing else knows of it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import gpushare
from gpushare.daemon.acts.suspend_methods import why_unmigratable, why_unmovable
from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.ports.probe import ProbeRun
from gpushare.mechanisms import Mechanisms
from gpushare.mechanisms.mechanism import Moves, Observation, PassiveMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.edits import Edits
from gpushare.model.errors import NotMigratableError, UnsupportedError
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.promise import Claim, FaultDomain, Need, Promise, Use, shared_fault
from gpushare.model.share import Decision, Level, Share, State
from gpushare.model.spec import ComputeAsk, GpuGrant, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    Attempt,
    Escape,
    ProbedDevice,
    ProbeReport,
    View,
)
from gpushare.scheduler import Request, Snapshot, decide, regrant
from gpushare.scheduler.placing.relocate import relocate
from gpushare.verification.arguments import probe_arguments
from gpushare.verification.verdict import verdict_of

TOY = MechanismName.VGPU  # a name without a mechanism
AT = datetime(2026, 1, 1, tzinfo=UTC)
CARDS = tuple(
    Gpu(uuid=GpuId(f"GPU-{n}"), index=n, name="Sim", memory_total=Bytes(80 * GIB)) for n in (0, 1)
)
SPEC = ShareSpec(memory=MemoryAsk(limit=Bytes(8 * GIB)), compute=ComputeAsk(limit=Percent(40)))


class Toy(PassiveMechanism):
    """Better than time-slicing for a compute limit, and unlike every other mechanism."""

    promise = Promise(
        mechanism=TOY,
        memory=Claim(level=Level.ENFORCED),
        compute=Claim(level=Level.COOPERATIVE, but="it is a toy"),
        devices=Claim(level=Level.ENFORCED),
        uses=(Use(need=Need.COMPUTE, rank=-1, why="a toy holds {compute} % of compute"),),
        fault_domain=FaultDomain.GPU,
        in_gpu_time=True,
        adjusts=("compute",),
        moves_memory=True,
        checkpointable=False,
    )

    def __init__(self) -> None:
        self.prepared: list[ShareId] = []

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        self.prepared.append(share.id)
        return Edits(env={"TOY": ",".join(grant.gpu for grant in grants)})


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def mechanisms(toy: Toy, tmp_path: Path) -> Mechanisms:
    return Mechanisms([Timeslice(), toy], FsCgroups(tmp_path))


@pytest.fixture
def state(mechanisms: Mechanisms) -> Snapshot:
    machine = Machine(gpus=CARDS, capabilities=mechanisms.capabilities(CARDS))
    return Snapshot(machine=machine, promises=mechanisms.promises())


@pytest.fixture
def share(state: Snapshot) -> Share:
    decision = decide(state, Request(spec=SPEC, uid=1000))
    assert isinstance(decision, Decision)
    return Share(
        id=ShareId("0123456789ab"),
        name="toy",
        spec=SPEC,
        tenant=Tenant("lin"),
        uid=1000,
        gid=1000,
        state=State.GRANTED,
        created=AT,
        decision=decision,
    )


def test_the_scheduler_takes_it_for_what_it_serves(share: Share) -> None:
    assert share.decision is not None
    assert share.decision.mechanisms == (TOY,)
    assert share.decision.why[0] == "base vgpu: a toy holds 40 % of compute"
    assert share.decision.enforcement.memory is Level.ENFORCED
    assert "it is a toy" in share.decision.unprotected


def test_the_scheduler_leaves_it_for_what_it_does_not_serve(state: Snapshot) -> None:
    decision = decide(state, Request(spec=replace(SPEC, compute=ComputeAsk()), uid=1000))
    assert isinstance(decision, Decision)
    assert decision.mechanisms == (MechanismName.TIMESLICE,)


def test_it_is_prepared(mechanisms: Mechanisms, toy: Toy, share: Share) -> None:
    assert mechanisms.prepare(share).env == {"TOY": "GPU-0"}
    assert toy.prepared == [share.id]


def test_it_is_verified_by_what_it_promises(mechanisms: Mechanisms, share: Share) -> None:
    assert share.decision is not None
    stack, gpus = mechanisms.stack(share), {gpu.uuid: gpu for gpu in CARDS}
    assert "--compute" in probe_arguments(share.decision, stack), "its limit is GPU time"
    run = ProbeRun(report=msgspec.json.encode(_report(compute=4000)))
    assert verdict_of(share.decision, stack, run, gpus, AT).ok
    greedy = ProbeRun(report=msgspec.json.encode(_report(compute=9000)))
    assert not verdict_of(share.decision, stack, greedy, gpus, AT).ok


def test_what_can_change_while_it_runs_is_what_it_says(state: Snapshot, share: Share) -> None:
    state = replace(state, shares=(share,))
    changed = regrant(
        state, share, replace(share, spec=replace(SPEC, compute=ComputeAsk(limit=Percent(20))))
    )
    assert changed.grants[0].compute == 20
    with pytest.raises(UnsupportedError):
        regrant(
            state, share, replace(share, spec=replace(SPEC, memory=MemoryAsk(limit=Bytes(4 * GIB))))
        )


def test_the_daemon_asks_it_about_faults_and_moves(
    mechanisms: Mechanisms, state: Snapshot, share: Share
) -> None:
    stack, seen = mechanisms.stack(share), Observation(moves=Moves(halt=0))
    assert shared_fault(stack) == "vGPU"
    assert why_unmovable(stack, seen) == ""
    assert why_unmigratable(share, stack, seen) == "the driver moves no programs under vGPU"
    with pytest.raises(NotMigratableError):
        relocate(replace(state, shares=(share,)), share)


def test_no_other_room_compares_mechanism_names() -> None:
    source = Path(gpushare.__file__).parent
    named = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"MechanismName\.[A-Z]", path.read_text("utf-8"))
    }
    # The API carries no promises, so the command line knows `exclusive` by name.
    assert {path for path in named if not path.startswith("mechanisms/")} == {
        "cli/shares/_launch.py"
    }


def _report(compute: int) -> ProbeReport:
    """A program that is refused more than its limit, inside and by another way."""
    refused = Attempt(path="cuMemAlloc", asked=Bytes(9 * GIB), held=Bytes(0), result=OUT_OF_MEMORY)
    device = ProbedDevice(
        uuid="GPU-0",
        ordinal=0,
        name="Sim",
        result=0,
        total=Bytes(8 * GIB),
        free=Bytes(7 * GIB),
        limit=Bytes(8 * GIB),
        multiprocessors=132,
        attempts=(refused,),
        compute=compute,
    )
    outside = Escape(name="without the toy", view=View(devices=(device,)))
    return ProbeReport(devices=(device,), escapes=(outside,))
