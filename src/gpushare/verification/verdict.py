# SPDX-License-Identifier: Apache-2.0
"""Compares what a share is promised with what the probe could do. Pure.

Model: the probe tries to break a share, as a program inside it and then with a changed environment
(escapes). Each dimension has its own rule, and the finding is the weakest result over all GPUs:

memory    enforced: refused from inside and from every escape; cooperative: refused from inside
          only; none: some path gave more than the limit, or the refusals prove nothing.
compute   where it is held in GPU time, the time that a program gets; else the multiprocessors that
          it sees, with the limit and without.
devices   the GPUs that a program sees, with CUDA_VISIBLE_DEVICES and without.
fault     follows from the mechanism; the probe causes no faults.

Invariants: nothing is delivered without evidence, so no report means `none` for all dimensions. A
verification is ok when each finding is at least as strong as promised. A full GPU or share is no
failure of the mechanism: refusals by the guard count as evidence then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Decision, Finding, Level, Verification
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL, format_bytes
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    SUCCESS,
    Attempt,
    ProbedDevice,
    ProbeReport,
    View,
)

from .arguments import timed

# CUDA_MPS_ACTIVE_THREAD_PERCENTAGE is rounded to whole groups of multiprocessors (H200: 5 % of
# 132 gives 8).
_GROUP = 8
_POINTS = 100  # basis points of a percent
_CLOSE = 3  # percent points


def verdict_of(
    decision: Decision,
    stack: Sequence[Promise],
    run: ProbeRun,
    gpus: Mapping[GpuId, Gpu],
    at: datetime,
) -> Verification:
    """`run`: how the probe ended. `gpus`: the machine while it ran."""
    probed, failure = _decode(run)
    if failure:
        return _nothing(decision, failure, at)
    findings = (
        _memory(decision, stack, probed, gpus),
        _compute(decision, stack, probed, gpus),
        _by_construction(decision),
        _devices(decision, probed, gpus),
    )
    ok = all(finding.ok for finding in findings)
    return Verification(at=at, ok=ok, findings=findings, driver=probed.driver)


def _decode(run: ProbeRun) -> tuple[ProbeReport, str]:
    try:
        probed = msgspec.json.decode(run.report or b"{}", type=ProbeReport)
    except msgspec.DecodeError as error:
        return ProbeReport(), run.failure or f"the probe's report cannot be read: {error}"
    return probed, probed.error or run.failure


def _nothing(decision: Decision, failure: str, at: datetime) -> Verification:
    """No report: nothing is known to hold."""
    promised = decision.enforcement
    findings = tuple(
        Finding(dimension=name, promised=level, delivered=Level.NONE, evidence=failure)
        for name, level in msgspec.structs.asdict(promised).items()
    )
    return Verification(at=at, ok=False, findings=findings)


def _memory(
    decision: Decision, stack: Sequence[Promise], report: ProbeReport, gpus: Mapping[GpuId, Gpu]
) -> Finding:
    verdicts = [_void(stack, report)]
    verdicts += [_memory_of(grant, report, gpus) for grant in decision.grants]
    return _weakest("memory", decision.enforcement.memory, [v for v in verdicts if v])


def _void(stack: Sequence[Promise], report: ProbeReport) -> tuple[Level, str] | None:
    """A limit layer that is there but does nothing."""
    if strangers := _strangers(report):
        return Level.NONE, (
            f"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT={report.pinned} names device {strangers[0]}, which "
            "a program here does not see: that drops every limit of MPS"
        )
    if any(promise.preloaded for promise in stack) and not report.guard.attached:
        missing = (
            "is not loaded" if not report.guard.loaded else "does not reach the share's region"
        )
        return Level.NONE, f"the guard {missing}"
    return None


def _strangers(report: ProbeReport) -> list[str]:
    visible = {str(device.ordinal) for device in report.devices}
    visible |= {device.uuid for device in report.devices}
    named = [entry.partition("=")[0].strip() for entry in report.pinned.split(",") if entry]
    return [name for name in named if name not in visible]


def _memory_of(
    grant: GpuGrant, report: ProbeReport, gpus: Mapping[GpuId, Gpu]
) -> tuple[Level, str]:
    device = _device(report, grant.gpu)
    if device is None:
        return Level.NONE, f"a program here cannot use {grant.gpu}"
    if device.result == OUT_OF_MEMORY:
        level, why = _worth(grant, report, 1, gpus)
        return level, f"the share is full, not even a context fits into it; {why}"
    tried = [attempt for attempt in device.attempts if not attempt.skipped]
    if leaks := [attempt.path for attempt in tried if attempt.held > grant.limit]:
        return Level.NONE, f"{', '.join(leaks)} gave more than {format_bytes(grant.limit)}"
    refused = [attempt for attempt in tried if attempt.result == OUT_OF_MEMORY]
    if not refused:
        return Level.NONE, f"no allocation on {grant.gpu} could be tried"
    evidence = f"{len(refused)} of {len(tried)} paths refuse more than {format_bytes(grant.limit)}"
    level, why = _worth(grant, report, len(refused), gpus)
    return level, f"{evidence}{_measured(device, refused)}; {why}"


def _measured(device: ProbedDevice, refused: Sequence[Attempt]) -> str:
    most = max(attempt.held for attempt in refused)
    if not most:
        return ""
    context = f" with a context of {format_bytes(device.context)}" if device.context else ""
    return f"; {format_bytes(most)} can be allocated{context}"


def _worth(
    grant: GpuGrant, report: ProbeReport, refused: int, gpus: Mapping[GpuId, Gpu]
) -> tuple[Level, str]:
    """What refusals inside are worth, by what the same program gets outside."""
    card = gpus.get(grant.gpu)
    if card is not None and grant.limit >= card.usable:
        return Level.ENFORCED, "the limit is the whole card"
    for name, view in _escaped(report):
        device = _device(view, grant.gpu)
        if device is not None and _exceeds(device, grant):
            return Level.COOPERATIVE, f"{name} {format_bytes(device.free)} are free"
    free = card.memory_total - card.memory_used if card is not None else None
    # The ways around the limit prove something only where the card could have given more.
    if free is None or free > grant.limit:
        return Level.ENFORCED, f"so do all {len(report.escapes)} ways around it"
    if report.guard.denied >= refused:
        return Level.COOPERATIVE, "the guard refused; the card is too full to try ways around it"
    return Level.NONE, f"but the card has no more than {format_bytes(free)} free"


def _exceeds(device: ProbedDevice, grant: GpuGrant) -> bool:
    """By what it was given, if it tried; else by the free memory it sees."""
    tried = [attempt for attempt in device.attempts if not attempt.skipped]
    if tried:
        return any(attempt.held > grant.limit for attempt in tried)
    return device.free > grant.limit


def _compute(
    decision: Decision, stack: Sequence[Promise], report: ProbeReport, gpus: Mapping[GpuId, Gpu]
) -> Finding:
    limited = [grant for grant in decision.grants if grant.compute < FULL]
    promised = decision.enforcement.compute
    if not limited or promised in {Level.NONE, Level.REPORTED}:
        evidence = "nothing is limited" if not limited else "nothing limits it"
        return Finding(
            dimension="compute", promised=promised, delivered=promised, evidence=evidence
        )
    if timed(decision, stack):
        verdicts = [_turns_of(grant, report) for grant in limited]
    else:
        verdicts = [_compute_of(grant, report, gpus) for grant in limited]
    return _weakest("compute", promised, verdicts)


def _turns_of(grant: GpuGrant, report: ProbeReport) -> tuple[Level, str]:
    """A limit is a ceiling: what neighbours keep from the probe does not speak against it."""
    device = _device(report, grant.gpu)
    full = device is not None and device.result == OUT_OF_MEMORY
    # A full share refuses the probe's context, so there is nothing to measure; the guard did
    # answer.
    if full and report.guard.attached:
        return Level.COOPERATIVE, "the share is full, so no work could be tried; its guard answers"
    if device is None or device.compute is None:
        return Level.NONE, f"no work on {grant.gpu} could be tried"
    percent = device.compute / _POINTS
    evidence = f"a program that wants all gets {percent:.1f} % of the GPU's time"
    if percent > grant.compute + _CLOSE:
        return Level.NONE, f"{evidence}, above its {grant.compute} %"
    for name, view in _escaped(report):
        escaped = _device(view, grant.gpu)
        if escaped is not None and escaped.compute is not None:
            return Level.COOPERATIVE, f"{evidence}; {name} {escaped.compute / _POINTS:.1f} %"
    return Level.COOPERATIVE, f"{evidence}; one that drops the guard takes what it wants"


def _compute_of(
    grant: GpuGrant, report: ProbeReport, gpus: Mapping[GpuId, Gpu]
) -> tuple[Level, str]:
    device = _device(report, grant.gpu)
    if device is None:
        return Level.NONE, f"a program here cannot use {grant.gpu}"
    outside = [(name, _device(view, grant.gpu)) for name, view in _escaped(report)]
    counts = {
        name: device_there.multiprocessors
        for name, device_there in outside
        if device_there is not None
    }
    card = gpus.get(grant.gpu)
    whole = max([device.multiprocessors, (card.sm_count or 0) if card else 0, *counts.values()])
    evidence = f"a program sees {device.multiprocessors} of {whole} multiprocessors"
    if device.multiprocessors > max(whole * grant.compute / FULL, _GROUP):
        return Level.NONE, f"{evidence}, above its {grant.compute} %"
    more = [name for name, count in counts.items() if count > device.multiprocessors]
    if more:
        return Level.COOPERATIVE, f"{evidence}; {more[0]} it sees {counts[more[0]]}"
    return Level.ENFORCED, f"{evidence}, whatever it does to its environment"


def _by_construction(decision: Decision) -> Finding:
    level = decision.enforcement.fault
    base = decision.mechanisms[0] if decision.mechanisms else "the mechanism"
    evidence = f"follows from {base}; the probe causes no faults"
    return Finding(dimension="fault", promised=level, delivered=level, evidence=evidence)


def _devices(decision: Decision, report: ProbeReport, gpus: Mapping[GpuId, Gpu]) -> Finding:
    mine = {_key(gpu) for gpu in decision.gpus}
    visible = {_key(device.uuid) for device in report.devices}
    level, evidence = Level.ENFORCED, f"a program sees {len(visible)} GPU, its own"
    if strange := visible - mine:
        level, evidence = Level.NONE, f"a program sees {len(strange)} GPU that are not its own"
    elif open_to := _others(report, mine):
        level, evidence = Level.COOPERATIVE, f"{evidence}; {open_to[0]} it sees {open_to[1]} more"
    elif len(gpus) == len(mine):
        evidence = "this machine has no other GPU"
    promised = decision.enforcement.devices
    return Finding(dimension="devices", promised=promised, delivered=level, evidence=evidence)


def _others(report: ProbeReport, mine: set[str]) -> tuple[str, int] | None:
    for name, view in _escaped(report):
        visible = {_key(device.uuid) for device in view.devices}
        if visible - mine:
            return name, len(visible - mine)
    return None


def _escaped(report: ProbeReport) -> Iterable[tuple[str, View]]:
    """Escapes that got as far as the driver."""
    return (
        (escape.name, escape.view)
        for escape in report.escapes
        if escape.view and not escape.view.error
    )


def _device(view: View, gpu: GpuId) -> ProbedDevice | None:
    """The GPU as the view has it; a full share has it too, but refuses a context on it."""
    usable = {SUCCESS, OUT_OF_MEMORY}
    usable_devices = (d for d in view.devices if same_gpu(d.uuid, gpu) and d.result in usable)
    return next(usable_devices, None)


def same_gpu(uuid: str, other: str) -> bool:
    """The driver does not say the prefix of a UUID, NVML does: compare what follows."""
    return _key(uuid) == _key(other)


def _key(uuid: str) -> str:
    return uuid.partition("-")[2].lower()


def _weakest(name: str, promised: Level, verdicts: Sequence[tuple[Level, str]]) -> Finding:
    order = list(Level)
    # `Level` lists the strongest first, so the greatest index is the weakest.
    level, evidence = max(verdicts, key=lambda verdict: order.index(verdict[0]))
    return Finding(dimension=name, promised=promised, delivered=level, evidence=evidence)
