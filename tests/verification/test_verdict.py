# SPDX-License-Identifier: Apache-2.0
"""The judge believes what the probe saw, not what was promised."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.share import Decision, Enforcement, Finding, Level, Verification
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB, Bytes
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    Attempt,
    Escape,
    ProbedDevice,
    ProbedGuard,
    ProbeReport,
    View,
)
from gpushare.verification.arguments import probe_arguments
from gpushare.verification.verdict import verdict_of
from support.promises import stack
from support.shares import GPU, grant

AT = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT, CARD = 4 * GIB, 140 * GIB
ASKED = Bytes(LIMIT + 2 * MIB)
OTHER = "GPU-99999999-0000-4000-8000-000000000002"
PROMISED = Enforcement(memory=Level.COOPERATIVE, devices=Level.COOPERATIVE)
ATTACHED = ProbedGuard(loaded=True, region="/run/r", attached=True, denied=2)
REFUSED = (
    Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(0), result=2),
    Attempt(path="cuMemCreate", asked=ASKED, held=Bytes(0), result=2),
)


def device(uuid: str = GPU, free: int = 3 * GIB, sms: int = 132, **more: object) -> ProbedDevice:
    facts = {"result": 0, "ordinal": 0, "name": "NVIDIA H200", "total": LIMIT, "limit": LIMIT}
    more = {"attempts": REFUSED, **more}
    return msgspec.convert(
        {**facts, "uuid": uuid, "free": free, "multiprocessors": sms, **more}, ProbedDevice
    )


def outside(name: str = "without the guard", *devices: ProbedDevice) -> Escape:
    seen = devices or (device(free=139 * GIB, attempts=()),)
    return Escape(name=name, view=View(devices=seen))


def report(*devices: ProbedDevice, escapes: tuple[Escape, ...] = (), **more: object) -> ProbeReport:
    guard = more.pop("guard", ATTACHED)
    assert isinstance(guard, ProbedGuard)
    pinned = str(more.pop("pinned", ""))
    assert not more
    return ProbeReport(
        devices=devices or (device(),),
        escapes=escapes or (outside(),),
        guard=guard,
        pinned=pinned,
        driver="580.159.04",
    )


def card(uuid: str = GPU, used: int = 0) -> Gpu:
    return Gpu(
        uuid=GpuId(uuid),
        index=0,
        name="NVIDIA H200",
        memory_total=Bytes(CARD),
        memory_used=Bytes(used),
        sm_count=132,
    )


def decided(
    *by: MechanismName, promised: Enforcement = PROMISED, limit: int = LIMIT, compute: int = 100
) -> Decision:
    stack = by or (MechanismName.TIMESLICE, MechanismName.GUARD)
    one = grant(limit=limit, compute=compute)
    return Decision(grants=(one,), mechanisms=stack, enforcement=promised)


def judged(
    seen: ProbeReport, decision: Decision | None = None, *gpus: Gpu, failure: str = ""
) -> Verification:
    machine = {gpu.uuid: gpu for gpu in gpus or (card(),)}
    run = ProbeRun(report=msgspec.json.encode(seen), failure=failure)
    decision = decision or decided()
    return verdict_of(decision, stack(decision), run, machine, AT)


def arguments(decision: Decision, *, fill: bool = False) -> tuple[str, ...]:
    return probe_arguments(decision, stack(decision), fill=fill)


def finding(found: Verification, dimension: str) -> Finding:
    return next(one for one in found.findings if one.dimension == dimension)


def test_a_guard_that_refuses_is_cooperative_and_says_why() -> None:
    found = judged(report())
    memory = finding(found, "memory")
    assert found.ok
    assert found.driver == "580.159.04"
    assert memory.delivered is Level.COOPERATIVE
    assert "2 of 2 paths refuse more than 4 GiB" in memory.evidence
    assert "without the guard 139 GiB are free" in memory.evidence


def test_a_leak_is_named() -> None:
    leak = Attempt(path="cuMemAllocFromPoolAsync", asked=ASKED, held=ASKED, result=0)
    found = judged(report(device(attempts=(*REFUSED, leak))))
    assert not found.ok
    assert finding(found, "memory").delivered is Level.NONE
    assert "cuMemAllocFromPoolAsync" in finding(found, "memory").evidence


def test_refused_from_everywhere_is_enforced() -> None:
    inside = device(free=3 * GIB)
    found = judged(report(escapes=(outside("without the guard", inside),)))
    assert finding(found, "memory").delivered is Level.ENFORCED


def test_a_lie_about_free_memory_does_not_count_where_it_was_tried() -> None:
    tried = device(free=139 * GIB, attempts=REFUSED)
    found = judged(report(escapes=(outside("without the guard", tried),)))
    assert finding(found, "memory").delivered is Level.ENFORCED


def test_a_full_card_proves_nothing_about_the_limit() -> None:
    crowded = outside("without the guard", device(free=GIB, attempts=()))
    silent = ProbedGuard(loaded=True, region="/run/r", attached=True, denied=0)
    full = card(used=CARD - GIB)
    refused_by_card = judged(report(escapes=(crowded,), guard=silent), None, full)
    refused_by_guard = judged(report(escapes=(crowded,)), None, full)
    assert finding(refused_by_card, "memory").delivered is Level.NONE
    assert finding(refused_by_guard, "memory").delivered is Level.COOPERATIVE


@pytest.mark.parametrize("pinned", ["0=4096M,1=4G", "7=4G", f"{OTHER}=4G", "0=4G, 15=1G"])
def test_an_entry_for_an_invisible_device_voids_the_limit(pinned: str) -> None:
    stack = decided(MechanismName.MPS, MechanismName.GUARD)
    found = judged(report(pinned=pinned), stack)
    assert not found.ok
    assert finding(found, "memory").delivered is Level.NONE
    assert "drops every limit" in finding(found, "memory").evidence


@pytest.mark.parametrize("pinned", ["", "0=4096M", f"{GPU}=4096M"])
def test_a_clean_limit_is_no_stranger(pinned: str) -> None:
    assert judged(report(pinned=pinned), decided(MechanismName.MPS, MechanismName.GUARD)).ok


@pytest.mark.parametrize(
    ("guard", "said"),  # prose: allow
    [
        (ProbedGuard(loaded=False, region="", attached=False, denied=0), "is not loaded"),
        (ProbedGuard(loaded=True, region="/gone", attached=False, denied=0), "does not reach"),
    ],
)
def test_a_missing_guard_is_found_even_where_nothing_leaked(guard: ProbedGuard, said: str) -> None:
    found = judged(report(guard=guard))
    assert not found.ok
    assert said in finding(found, "memory").evidence


def test_a_gpu_that_cannot_be_used_holds_no_promise() -> None:
    assert not judged(report(device(result=100))).ok
    assert not judged(report(device(uuid=OTHER))).ok


def test_a_full_share_refuses_even_the_context_of_the_probe() -> None:
    found = judged(report(device(result=2, free=0, attempts=())), decided(compute=100))
    memory = finding(found, "memory")
    assert found.ok
    assert memory.delivered is Level.COOPERATIVE
    assert "not even a context fits" in memory.evidence


def test_the_whole_card_is_its_own_limit() -> None:
    whole = decided(
        MechanismName.EXCLUSIVE, promised=Enforcement(memory=Level.ENFORCED), limit=CARD
    )
    found = judged(report(), whole)
    assert finding(found, "memory").delivered is Level.ENFORCED


@pytest.mark.parametrize(
    ("sms", "delivered"), [(32, Level.COOPERATIVE), (132, Level.NONE), (40, Level.NONE)]
)
def test_compute_by_the_multiprocessors_a_program_sees(sms: int, delivered: Level) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.MPS, promised=promised, compute=25)
    outer = outside("without MPS limits", device(free=139 * GIB, attempts=()))
    found = judged(report(device(sms=sms), escapes=(outer,)), quarter)
    assert finding(found, "compute").delivered is delivered
    assert found.ok is (delivered is Level.COOPERATIVE)


@pytest.mark.parametrize(
    ("points", "delivered"),
    [
        (2500, Level.COOPERATIVE),
        (2800, Level.COOPERATIVE),
        (1200, Level.COOPERATIVE),
        (2801, Level.NONE),
        (10000, Level.NONE),
        (None, Level.NONE),
    ],
)
def test_compute_by_the_time_a_program_gets_under_the_guard(points, delivered) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    found = judged(report(device(compute=points)), quarter)
    assert finding(found, "compute").delivered is delivered
    assert found.ok is (delivered is Level.COOPERATIVE)


def test_what_a_program_gets_without_the_guard_is_reported_where_it_was_tried() -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    outer = outside("without the guard", device(free=139 * GIB, attempts=(), compute=9990))
    found = judged(report(device(compute=2490), escapes=(outer,)), quarter)
    assert "24.9 %" in finding(found, "compute").evidence
    assert "without the guard 99.9 %" in finding(found, "compute").evidence


@pytest.mark.parametrize(
    ("attached", "delivered"), [(True, Level.COOPERATIVE), (False, Level.NONE)]
)
def test_in_a_full_share_no_work_can_be_tried(attached: bool, delivered: Level) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    guard = ProbedGuard(loaded=True, region="/run/r", attached=attached, denied=2)
    found = judged(report(device(result=OUT_OF_MEMORY), guard=guard), quarter)
    assert finding(found, "compute").delivered is delivered


def test_only_a_limit_that_the_guard_holds_is_measured() -> None:
    layers = (MechanismName.TIMESLICE, MechanismName.GUARD)
    assert "--compute" in arguments(decided(*layers, compute=25))
    assert "--compute" not in arguments(decided(*layers))
    assert "--compute" not in arguments(decided(MechanismName.MPS, compute=25))


def test_other_gpus_behind_an_environment_variable_are_cooperative() -> None:
    everything = outside("with all devices", device(attempts=()), device(uuid=OTHER))
    hidden = judged(report(escapes=(outside(), everything)), None, card(), card(OTHER))
    seen = judged(report(device(), device(uuid=OTHER)), None, card(), card(OTHER))
    assert finding(hidden, "devices").delivered is Level.COOPERATIVE
    assert finding(seen, "devices").delivered is Level.NONE
    assert not seen.ok


@pytest.mark.parametrize(
    ("text", "failure", "said"),  # prose: allow
    [
        (b"", "the probe did not end within 60 s", "did not end"),
        (b"not json", "", "cannot be read"),
        (b'{"surprise": 1}', "", "cannot be read"),
        (b'{"error": "out of time"}', "the probe ended with exit code 124", "out of time"),
    ],
)
def test_no_report_means_that_nothing_holds(text: bytes, failure: str, said: str) -> None:
    found = verdict_of(decided(), stack(decided()), ProbeRun(report=text, failure=failure), {}, AT)
    assert not found.ok
    assert {one.delivered for one in found.findings} == {Level.NONE}
    assert said in found.findings[0].evidence


@given(held=st.integers(0, 2 * LIMIT), fill=st.booleans())
def test_more_than_the_limit_is_never_called_kept(held: int, fill: bool) -> None:
    attempt = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=2 if fill else 0)
    found = judged(report(device(attempts=(attempt,))))
    if held > LIMIT:
        assert not found.ok
    else:
        assert finding(found, "memory").delivered in {Level.NONE, Level.COOPERATIVE}


def test_arguments_fill_only_what_is_idle_and_step_outside_only_where_refused() -> None:
    busy = arguments(decided())
    idle = arguments(decided(), fill=True)
    strict = arguments(decided(promised=Enforcement(memory=Level.ENFORCED)))
    assert busy == ("--attempt", "--limit", f"{GPU}={LIMIT}")
    assert idle == ("--fill", "--limit", f"{GPU}={LIMIT}", "--outside")
    assert strict[-1] == "--outside"
