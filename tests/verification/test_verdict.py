# SPDX-License-Identifier: Apache-2.0
"""The judge believes what the probe saw, not what was promised."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.ids import GpuId
from gpushare.model.share import (
    Enforcement,
    Level,
    Trial,
)
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, Bytes
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    Attempt,
    ProbedGuard,
    ProbeReport,
)
from gpushare.verification.verdict import verdict_of
from support.promises import stack
from support.reports import (
    ASKED,
    AT,
    CARD,
    LIMIT,
    OTHER,
    REFUSED,
    arguments,
    card,
    decided,
    device,
    finding,
    judged,
    outside,
    report,
)
from support.shares import GPU


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
    assert finding(refused_by_card, "memory").trial is Trial.UNTRIED
    assert refused_by_card.ok
    assert "no more than 1 GiB free" in refused_by_card.untried[0].evidence
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


def test_a_gpu_that_cannot_be_used_proves_nothing_and_one_that_is_hidden_breaks_it() -> None:
    unusable = judged(report(device(result=100)))
    assert not unusable.ok
    assert not unusable.broken
    assert "CUDA error 100" in unusable.untried[0].evidence
    assert judged(report(device(uuid=OTHER))).broken


def test_a_full_share_refuses_even_the_context_of_the_probe() -> None:
    found = judged(report(device(result=2, free=0, attempts=())), decided(compute=100))
    memory = finding(found, "memory")
    assert found.ok
    assert memory.delivered is Level.COOPERATIVE
    assert "not even a context fits" in memory.evidence


@pytest.mark.parametrize(
    ("promised", "delivered"), [(Level.ENFORCED, None), (Level.NONE, Level.NONE)]
)
def test_a_fault_is_promised_and_never_called_delivered(promised, delivered) -> None:
    fault = finding(judged(report(), decided(promised=Enforcement(fault=promised))), "fault")
    assert (fault.trial, fault.delivered) == (Trial.PROMISED, delivered)
    assert fault.ok


@pytest.mark.parametrize(
    ("guard", "broken"),
    [
        (ProbedGuard(loaded=True, region="/r", attached=False, denied=0, mapped=False), True),
        (ProbedGuard(loaded=False, region="", attached=False, denied=0, mapped=False), True),
        (ProbedGuard(loaded=True, region="/r", attached=False, denied=0), False),
    ],
)
def test_a_guard_that_is_gone_is_broken_also_where_no_context_is_made(guard, *, broken) -> None:
    found = judged(report(device(result=100), guard=guard))
    assert not found.ok
    assert [one.dimension for one in found.broken] == (["memory"] if broken else [])


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
        (None, None),
    ],
)
def test_compute_by_the_time_a_program_gets_under_the_guard(points, delivered) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    found = judged(report(device(compute=points)), quarter)
    assert finding(found, "compute").delivered is delivered
    assert found.ok is (delivered is not Level.NONE)


def test_what_a_program_gets_without_the_guard_is_reported_where_it_was_tried() -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    outer = outside("without the guard", device(free=139 * GIB, attempts=(), compute=9990))
    found = judged(report(device(compute=2490), escapes=(outer,)), quarter)
    assert "24.9 %" in finding(found, "compute").evidence
    assert "without the guard 99.9 %" in finding(found, "compute").evidence


@pytest.mark.parametrize("attached", [True, False])
def test_in_a_full_share_no_work_can_be_tried(*, attached: bool) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    guard = ProbedGuard(loaded=True, region="/run/r", attached=attached, denied=2)
    found = judged(report(device(result=OUT_OF_MEMORY), guard=guard), quarter)
    assert finding(found, "compute").trial is Trial.UNTRIED
    assert found.ok is attached


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
    assert finding(seen, "devices").evidence == "a program sees 1 GPU beyond its own"
    assert not seen.ok


def test_a_gpu_of_another_share_of_the_user_may_be_opened_and_not_seen() -> None:
    everything = outside("with all devices", device(attempts=()), device(uuid=OTHER))
    decision, machine = decided(), {gpu.uuid: gpu for gpu in (card(), card(OTHER))}
    peer_gpus = {GpuId(OTHER)}

    def devices(seen: ProbeReport) -> Level:
        run = ProbeRun(report=msgspec.json.encode(seen))
        found = verdict_of(decision, stack(decision), run, machine, AT, peer_gpus=peer_gpus)
        return finding(found, "devices").delivered

    assert devices(report(escapes=(outside(), everything))) is Level.ENFORCED
    assert devices(report(device(), device(uuid=OTHER))) is Level.NONE


@pytest.mark.parametrize(
    ("text", "failure", "said"),  # prose: allow
    [
        (b"", "the probe did not end within 60 s", "did not end"),
        (b"not json", "", "cannot be read"),
        (b'{"surprise": 1}', "", "cannot be read"),
        (b'{"error": "out of time"}', "the probe ended with exit code 124", "out of time"),
    ],
)
def test_no_report_means_that_nothing_was_tried(text: bytes, failure: str, said: str) -> None:
    found = verdict_of(decided(), stack(decided()), ProbeRun(report=text, failure=failure), {}, AT)
    assert not found.ok
    assert not found.broken
    assert len(found.untried) == len(found.findings) == 4
    assert said in found.findings[0].evidence


@given(held=st.integers(0, 2 * LIMIT), fill=st.booleans())
def test_more_than_the_limit_is_never_called_kept(held: int, fill: bool) -> None:
    attempt = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=2 if fill else 0)
    found = judged(report(device(attempts=(attempt,))))
    if held > LIMIT:
        assert not found.ok
    else:
        assert finding(found, "memory").delivered in {None, Level.COOPERATIVE}


def test_arguments_fill_only_what_is_idle_and_step_outside_only_where_refused() -> None:
    busy = arguments(decided())
    idle = arguments(decided(), fill=True)
    strict = arguments(decided(promised=Enforcement(memory=Level.ENFORCED)))
    assert busy == ("--attempt", "--limit", f"{GPU}={LIMIT}")
    assert idle == ("--fill", "--timeout", "50", "--limit", f"{GPU}={LIMIT}", "--outside")
    assert strict[-1] == "--outside"
