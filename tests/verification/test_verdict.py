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
from gpushare.model.share import (
    Attack,
    AttackResult,
    Decision,
    Enforcement,
    Finding,
    Level,
    Trial,
    Verification,
)
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
from gpushare.verification.outsider import Outsider
from gpushare.verification.verdict import verdict_of
from support.promises import stack
from support.shares import GPU, grant

AT = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT, CARD = 4 * GIB, 140 * GIB
ASKED = Bytes(LIMIT + 2 * MIB)
NO_OUTSIDER = Outsider()
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
    seen: ProbeReport,
    decision: Decision | None = None,
    *gpus: Gpu,
    failure: str = "",
    idle: bool = False,
    outsider: Outsider = NO_OUTSIDER,
) -> Verification:
    machine = {gpu.uuid: gpu for gpu in gpus or (card(),)}
    run = ProbeRun(report=msgspec.json.encode(seen), failure=failure)
    decision = decision or decided()
    by = stack(decision)
    return verdict_of(decision, by, run, machine, AT, idle=idle, outsider=outsider)


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


LOCKED = Enforcement(memory=Level.ENFORCED, compute=Level.ENFORCED)
OPEN = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
UNAVAILABLE, OTHER_ERROR = 46, 999


@pytest.mark.parametrize("dimension", ["memory", "compute"])
@pytest.mark.parametrize(
    ("outsider", "level"),
    [
        (Outsider(view=View(devices=(device(result=0, free=130 * GIB),))), Level.COOPERATIVE),
        (Outsider(view=View(devices=(device(result=UNAVAILABLE),))), Level.ENFORCED),
        (Outsider(admitted=True), Level.COOPERATIVE),
        (Outsider(view=View(devices=(device(result=OTHER_ERROR),))), None),
        (Outsider(view=View()), None),
        (Outsider(because="cannot start"), None),
    ],
)
def test_a_gpu_alone_is_what_an_outsider_leaves_of_it(dimension, outsider, level) -> None:
    promised = decided(MechanismName.EXCLUSIVE, promised=LOCKED, limit=CARD)
    found = finding(judged(report(), promised, outsider=outsider), dimension)
    assert found.delivered is level
    assert found.ok is (level is not Level.COOPERATIVE), "one that gets in breaks the promise"
    assert (found.trial is Trial.UNTRIED) is (level is None)
    less = decided(MechanismName.EXCLUSIVE, promised=OPEN, limit=CARD)
    assert judged(report(), less, outsider=outsider).ok, "less was promised"


def test_a_program_of_the_share_that_has_the_locked_gpu_is_no_failure() -> None:
    busy = report(device(result=UNAVAILABLE, attempts=()))
    promised = decided(MechanismName.EXCLUSIVE, promised=LOCKED, limit=CARD)
    refused = Outsider(view=View(devices=(device(result=UNAVAILABLE),)))
    found = judged(busy, promised, outsider=refused)
    assert found.ok
    assert finding(found, "memory").delivered is Level.ENFORCED


def test_a_part_of_a_gpu_alone_is_held_by_its_limit_only() -> None:
    part = decided(MechanismName.EXCLUSIVE, MechanismName.GUARD, limit=LIMIT)
    assert "paths refuse" in finding(judged(report(), part), "memory").evidence


def test_a_fault_is_promised_and_never_called_delivered() -> None:
    fault = finding(judged(report()), "fault")
    assert (fault.trial, fault.delivered) == (Trial.PROMISED, None)
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


FILLED = (Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(LIMIT - GIB), result=2),)
FOUR = "four processes"


def crowd(held: int, points: int | None = None) -> Escape:
    attempt = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=0)
    view = View(devices=(device(attempts=(attempt,), compute=points),))
    return Escape(name=FOUR, processes=(view,) * 4)


@pytest.mark.parametrize(("each", "ok"), [(LIMIT // 4, True), (LIMIT // 2, False)])
def test_a_limit_of_each_process_is_no_limit_of_the_share(each: int, *, ok: bool) -> None:
    found = judged(report(device(attempts=FILLED), escapes=(outside(), crowd(each))), idle=True)
    assert found.ok is ok
    result = attack(finding(found, "memory"), FOUR).result
    assert result is (AttackResult.HELD if ok else AttackResult.THROUGH)


@pytest.mark.parametrize(
    ("by", "each", "ok"),
    [
        (MechanismName.TIMESLICE, 700, True),
        (MechanismName.TIMESLICE, 2500, False),
        # Under MPS kernels of several processes run at the same time, in the turn of the share.
        (MechanismName.MPS, 2500, True),
        (MechanismName.MPS, 9000, False),
    ],
)
def test_four_processes_get_the_time_of_one_share(by, each: int, *, ok: bool) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(by, MechanismName.GUARD, promised=promised, compute=25)
    seen = report(device(compute=2400), escapes=(outside(), crowd(0, each)))
    found = judged(seen, quarter)
    assert found.ok is ok
    assert (attack(finding(found, "compute"), FOUR).result is AttackResult.HELD) is ok


def trick(name: str, refused: str = "", points: int | None = None) -> Escape:
    view = View(devices=(device(attempts=(), compute=points),), refused=refused)
    return Escape(name=name, view=view, work=True)


@pytest.mark.parametrize(
    ("escape", "result", "level"),
    [
        (trick("wfi", points=2500), AttackResult.HELD, Level.ENFORCED),
        (trick("wfi", points=9900), AttackResult.THROUGH, Level.COOPERATIVE),
        (trick("wfi", refused="no channel"), AttackResult.UNTRIED, Level.ENFORCED),
    ],
)
def test_a_way_around_a_limit_lowers_its_level_to_what_honest_programs_keep(
    escape: Escape, result: AttackResult, level: Level
) -> None:
    cooperative = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    seen = report(device(compute=2400), escapes=(outside(), escape))
    for promised in (Level.COOPERATIVE, Level.ENFORCED):
        strict = msgspec.structs.replace(cooperative, compute=promised)
        quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=strict, compute=25)
        found = finding(judged(seen, quarter), "compute")
        assert attack(found, "wfi").result is result
        if level is Level.COOPERATIVE:
            assert found.ok is (promised is Level.COOPERATIVE)
    memory = finding(judged(seen, quarter), "memory")
    assert "wfi" not in {one.name for one in memory.attacks}, "it is about work only"


def attack(found: Finding, name: str) -> Attack:
    return next(one for one in found.attacks if one.name == name)


@pytest.mark.parametrize(("points", "ok"), [(0, False), (1100, False), (1300, True)])
def test_a_guarantee_that_an_idle_gpu_does_not_give_is_broken(points: int, *, ok: bool) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    assert judged(report(device(compute=points, attempts=FILLED)), quarter, idle=True).ok is ok


def test_nothing_next_to_busy_neighbours_could_not_be_tried() -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    found = judged(report(device(compute=0)), quarter)
    assert found.ok
    assert finding(found, "compute").trial is Trial.UNTRIED


@pytest.mark.parametrize(
    ("held", "used", "ok"),
    [(LIMIT - GIB, 0, True), (MIB, 0, False), (MIB, CARD - GIB, True)],
)
def test_memory_that_an_idle_share_does_not_get_is_no_guarantee(held, used, *, ok: bool) -> None:
    filled = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=2)
    seen = report(device(attempts=(filled,)))
    assert judged(seen, None, card(used=used), idle=True).ok is ok
    assert judged(seen, None, card(used=used)).ok, "its own programs may have the rest"


def test_an_idle_share_that_refuses_even_a_context_gives_nothing() -> None:
    full = report(device(result=OUT_OF_MEMORY, free=0, attempts=()))
    assert not judged(full, idle=True).ok
    assert judged(full).ok


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
    assert not seen.ok


def test_a_gpu_of_another_share_of_the_user_may_be_opened_and_not_seen() -> None:
    everything = outside("with all devices", device(attempts=()), device(uuid=OTHER))
    decision, machine = decided(), {gpu.uuid: gpu for gpu in (card(), card(OTHER))}
    beside = {GpuId(OTHER)}

    def devices(seen: ProbeReport) -> Level:
        run = ProbeRun(report=msgspec.json.encode(seen))
        found = verdict_of(decision, stack(decision), run, machine, AT, beside=beside)
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
