# SPDX-License-Identifier: Apache-2.0
"""Compares what a share is promised with what the probe could do. Pure.

Model: the probe tries to break a share, as a program inside it and then by published ways around
its limits. Each dimension has its own rule, and the finding is the weakest result over all GPUs:

memory    enforced: refused from inside and by every way around it; cooperative: refused from inside
          only; none: some path gave more than the limit.
compute   where it is held in GPU time, the time that a program gets; else the multiprocessors that
          it sees, with the limit and without.
fault     promised by the mechanism. A probe that faults could harm neighbours, so it is not tried.
devices   the GPUs that a program sees, with CUDA_VISIBLE_DEVICES and without.

For a share that has its GPUs alone, memory and compute depend on whether a program outside the
share gets to the GPU (`outsider`).

Invariants: nothing is delivered without evidence. What could not be tried is `untried`, never
`none`: a full GPU, a busy GPU or a probe that did not run say nothing about the mechanism. A
verification is ok when something was tried and no finding is weaker than promised.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import (
    Attack,
    AttackResult,
    Decision,
    Finding,
    Level,
    Trial,
    Verification,
)
from gpushare.model.verification import OUT_OF_MEMORY, SUCCESS, ProbeReport

from .compute import compute
from .memory import lost, memory
from .outsider import Outsider, alone, in_use, kept_away
from .reading import escaped, key, result_on

_NO_OUTSIDER = Outsider()
_NOTHING: Mapping[GpuId, float] = {}


def verdict_of(
    decision: Decision,
    stack: Sequence[Promise],
    run: ProbeRun,
    gpus: Mapping[GpuId, Gpu],
    at: datetime,
    *,
    idle: bool = False,
    outsider: Outsider = _NO_OUTSIDER,
    contested: Mapping[GpuId, float] = _NOTHING,
    peer_gpus: Collection[GpuId] = (),
) -> Verification:
    """`run`: how the probe ended. `gpus`: the machine while it ran.

    `idle`: no other program was in the share or in another on its GPUs, so what the probe did not
    get was kept from it by the share's own limits. `contested`: percent of the GPU time it wanted
    that it got next to a rival. `peer_gpus`: GPUs of the user's other shares, which
    the share may open.
    """
    probed, failure = decode(run)
    if failure := failure or _unusable(decision, probed):
        return _nothing(decision, failure, lost(stack, probed), at)
    promised = decision.enforcement
    if alone(decision, stack, gpus):
        limits = (
            kept_away("memory", promised.memory, decision, outsider),
            kept_away("compute", promised.compute, decision, outsider),
        )
    else:
        limits = (
            memory(decision, stack, probed, gpus, idle=idle),
            compute(decision, stack, probed, gpus, idle=idle, contested=contested),
        )
    findings = (*limits, _fault(decision), _devices(decision, probed, gpus, peer_gpus))
    ok = all(finding.ok for finding in findings)
    return Verification(at=at, ok=ok, findings=findings, driver=probed.driver)


def decode(run: ProbeRun) -> tuple[ProbeReport, str]:
    """What the probe reported, and why that is nothing; "" if it is something."""
    try:
        probed = msgspec.json.decode(run.report or b"{}", type=ProbeReport)
    except msgspec.DecodeError as error:
        return ProbeReport(), run.failure or f"the probe's report cannot be read: {error}"
    return probed, probed.error or run.failure


def _unusable(decision: Decision, report: ProbeReport) -> str:
    """Why no program can be tried on a GPU of the share; "" if one can."""
    for gpu in decision.gpus:
        result = result_on(report, gpu)
        if result not in {None, SUCCESS, OUT_OF_MEMORY} and not in_use(report, decision):
            return f"a program here gets no context on {gpu}: CUDA error {result}"
    return ""


def _nothing(decision: Decision, failure: str, lost: str, at: datetime) -> Verification:
    """No limit was tried. `lost`: what the program found of the guard, if that is broken."""
    findings = tuple(
        _broken(name, level, lost)
        if lost and name == "memory"
        else Finding(
            dimension=name,
            promised=level,
            delivered=None,
            evidence=failure,
            trial=Trial.UNTRIED,
        )
        for name, level in msgspec.structs.asdict(decision.enforcement).items()
    )
    return Verification(at=at, ok=False, findings=findings)


def _broken(name: str, promised: Level, evidence: str) -> Finding:
    return Finding(dimension=name, promised=promised, delivered=Level.NONE, evidence=evidence)


def _fault(decision: Decision) -> Finding:
    """Never tried, because a fault could end programs of others; what is not promised is `none`."""
    base = decision.mechanisms[0] if decision.mechanisms else "the mechanism"
    promised = decision.enforcement.fault
    return Finding(
        dimension="fault",
        promised=promised,
        delivered=Level.NONE if promised is Level.NONE else None,
        evidence=f"follows from {base}; not tried, because a fault could end other programs",
        trial=Trial.PROMISED,
    )


def _count(gpus: Collection[str]) -> str:
    return "1 GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"


def _devices(
    decision: Decision,
    report: ProbeReport,
    gpus: Mapping[GpuId, Gpu],
    peer_gpus: Collection[GpuId],
) -> Finding:
    mine = {key(gpu) for gpu in decision.gpus}
    visible = {key(device.uuid) for device in report.devices}
    attacks = tuple(_others(report, mine | {key(gpu) for gpu in peer_gpus}))
    passed = [attack for attack in attacks if attack.result is AttackResult.THROUGH]
    level, evidence = Level.ENFORCED, f"a program sees {_count(visible)}, its own"
    if strange := visible - mine:
        level, evidence = Level.NONE, f"a program sees {_count(strange)} beyond its own"
    elif passed:
        level = Level.COOPERATIVE
        evidence = f"{evidence}; {passed[0].name} {passed[0].evidence}"
    elif len(gpus) == len(mine):
        evidence = "this machine has no other GPU"
    return Finding(
        dimension="devices",
        promised=decision.enforcement.devices,
        delivered=level,
        evidence=evidence,
        attacks=attacks,
    )


def _others(report: ProbeReport, mine: set[str]) -> Sequence[Attack]:
    """Escapes by which a program sees GPUs of others."""
    attacks = []
    for escape, view in escaped(report):
        if escape.work:
            continue
        visible = {key(device.uuid) for device in view.devices}
        more = len(visible - mine)
        result = AttackResult.THROUGH if more else AttackResult.HELD
        attacks.append(Attack(name=escape.name, result=result, evidence=f"it sees {more} more"))
    return attacks
