# SPDX-License-Identifier: Apache-2.0
"""Whether a memory limit holds: what a program inside gets, and what it gets by ways around it."""

from collections.abc import Iterator, Mapping, Sequence

from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Attack, AttackResult, Decision, Finding, Level
from gpushare.model.spec import GpuGrant
from gpushare.model.units import format_bytes
from gpushare.model.verification import OUT_OF_MEMORY, Attempt, ProbedDevice, ProbeReport

from .reading import (
    Verdict,
    device_of,
    escaped,
    groups,
    held,
    result_on,
    through,
    untried,
    weakest,
)


def memory(
    decision: Decision,
    stack: Sequence[Promise],
    report: ProbeReport,
    gpus: Mapping[GpuId, Gpu],
    *,
    idle: bool,
) -> Finding:
    attacks = {grant.gpu: list(_attacks(grant, report)) for grant in decision.grants}
    verdicts = [_void(stack, report)]
    if idle:
        verdicts += [_short(grant, report, gpus) for grant in decision.grants]
    verdicts += [_of(grant, report, gpus, attacks[grant.gpu]) for grant in decision.grants]
    return weakest(
        "memory",
        decision.enforcement.memory,
        [verdict for verdict in verdicts if verdict],
        [attack for each in attacks.values() for attack in each],
    )


def _void(stack: Sequence[Promise], report: ProbeReport) -> Verdict | None:
    """A limit layer that is there but does nothing."""
    if strangers := _strangers(report):
        return Verdict(
            Level.NONE,
            f"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT={report.pinned} names device {strangers[0]}, which "
            "a program here does not see: that drops every limit of MPS",
        )
    if any(promise.preloaded for promise in stack) and not report.guard.attached:
        return Verdict(Level.NONE, _missing(report))
    return None


def lost(stack: Sequence[Promise], report: ProbeReport) -> str:
    """What is broken about the guard of a program that gets no context; "" if that is unknown.

    A program without a context has no slot in the region yet, so only its file tells.
    """
    guarded = any(promise.preloaded for promise in stack)
    # A report that ended early names no region.
    known = report.driver and (report.guard.region or not report.guard.loaded)
    return _missing(report) if guarded and known and not report.guard.mapped else ""


def _missing(report: ProbeReport) -> str:
    missing = "is not loaded" if not report.guard.loaded else "does not reach the share's region"
    return f"the guard {missing}"


def _short(grant: GpuGrant, report: ProbeReport, gpus: Mapping[GpuId, Gpu]) -> Verdict | None:
    """An idle share that gives clearly less than it is guaranteed, though the card has it."""
    device, card = device_of(report, grant.gpu), gpus.get(grant.gpu)
    if device is None or card is None or card.memory_total - card.memory_used < grant.request:
        return None
    if device.result == OUT_OF_MEMORY:
        return Verdict(Level.NONE, "not even a context fits into the idle share")
    tried = [attempt for attempt in device.attempts if not attempt.skipped]
    most = max((attempt.held for attempt in tried), default=None)
    # Pools and contexts round what they take.
    if most is None or most + (device.context or 0) >= grant.request // 2:
        return None
    guaranteed = format_bytes(grant.request)
    return Verdict(
        Level.NONE, f"only {format_bytes(most)} can be allocated; {guaranteed} are guaranteed"
    )


def _strangers(report: ProbeReport) -> list[str]:
    visible = {str(device.ordinal) for device in report.devices}
    visible |= {device.uuid for device in report.devices}
    named = [entry.partition("=")[0].strip() for entry in report.pinned.split(",") if entry]
    return [name for name in named if name not in visible]


def _of(
    grant: GpuGrant,
    report: ProbeReport,
    gpus: Mapping[GpuId, Gpu],
    attacks: Sequence[Attack],
) -> Verdict:
    device = device_of(report, grant.gpu)
    if device is None:
        return _unusable(grant, report)
    if device.result == OUT_OF_MEMORY:
        verdict = _worth(grant, report, 1, gpus, attacks)
        full = "the share is full, not even a context fits into it"
        return Verdict(verdict.level, f"{full}; {verdict.evidence}")
    tried = [attempt for attempt in device.attempts if not attempt.skipped]
    if leaks := [attempt.path for attempt in tried if attempt.held > grant.limit]:
        return Verdict(Level.NONE, f"{', '.join(leaks)} gave more than {format_bytes(grant.limit)}")
    refused = [attempt for attempt in tried if attempt.result == OUT_OF_MEMORY]
    if not refused:
        return Verdict(None, f"no allocation on {grant.gpu} could be tried")
    evidence = f"{len(refused)} of {len(tried)} paths refuse more than {format_bytes(grant.limit)}"
    verdict = _worth(grant, report, len(refused), gpus, attacks)
    return Verdict(verdict.level, f"{evidence}{_measured(device, refused)}; {verdict.evidence}")


def _unusable(grant: GpuGrant, report: ProbeReport) -> Verdict:
    result = result_on(report, grant.gpu)
    if result is None:
        return Verdict(Level.NONE, f"a program here does not see {grant.gpu}")
    return Verdict(None, f"a program here gets no context on {grant.gpu}: CUDA error {result}")


def _measured(device: ProbedDevice, refused: Sequence[Attempt]) -> str:
    most = max(attempt.held for attempt in refused)
    if not most:
        return ""
    context = f" with a context of {format_bytes(device.context)}" if device.context else ""
    return f"; {format_bytes(most)} can be allocated{context}"


def _worth(
    grant: GpuGrant,
    report: ProbeReport,
    refused: int,
    gpus: Mapping[GpuId, Gpu],
    attacks: Sequence[Attack],
) -> Verdict:
    """What refusals inside are worth, by what the same program gets outside."""
    passed = [attack for attack in attacks if attack.result is AttackResult.THROUGH]
    honest = {escape.name for escape in groups(report)}
    # A program may have several processes; nothing about that is an attempt to escape.
    if several := [attack for attack in passed if attack.name in honest]:
        return Verdict(Level.NONE, f"{several[0].name}: {several[0].evidence}")
    if passed:
        return Verdict(Level.COOPERATIVE, f"{passed[0].name} {passed[0].evidence}")
    card = gpus.get(grant.gpu)
    free = card.memory_total - card.memory_used if card is not None else None
    # The ways around the limit prove something only where the card could have given more.
    if free is None or free > grant.limit:
        return Verdict(Level.ENFORCED, f"so do all {len(report.escapes)} ways around it")
    if report.guard.denied >= refused:
        return Verdict(
            Level.COOPERATIVE, "the guard refused; the card is too full to try ways around it"
        )
    return Verdict(None, f"but the card has no more than {format_bytes(free)} free")


def _attacks(grant: GpuGrant, report: ProbeReport) -> Iterator[Attack]:
    for escape, view in escaped(report):
        device = device_of(view, grant.gpu)
        if escape.work:
            continue
        if view.refused:
            yield untried(escape, view.refused)
        elif device is None:
            yield held(escape, "gets no context")
        else:
            free = f"{format_bytes(device.free)} are free"
            yield through(escape, free) if _exceeds(device, grant) else held(escape, free)
    for escape in groups(report):
        devices = [device_of(view, grant.gpu) for view in escape.processes]
        total = sum(attempt.held for device in devices if device for attempt in device.attempts)
        evidence = f"hold {format_bytes(total)} together"
        yield through(escape, evidence) if total > grant.limit else held(escape, evidence)


def _exceeds(device: ProbedDevice, grant: GpuGrant) -> bool:
    """By what it was given, if it tried; else by the free memory it sees."""
    tried = [attempt for attempt in device.attempts if not attempt.skipped]
    if tried:
        return any(attempt.held > grant.limit for attempt in tried)
    return device.free > grant.limit
