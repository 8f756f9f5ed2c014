# SPDX-License-Identifier: Apache-2.0
"""How the report of a probe is read: devices, escapes, and findings from several GPUs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gpushare.model.ids import GpuId
from gpushare.model.share import Attack, AttackResult, Finding, Level, Trial
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    SUCCESS,
    Escape,
    ProbedDevice,
    ProbeReport,
    View,
)


@dataclass(frozen=True)
class Verdict:
    """What was found on one GPU. `level` None: nothing could be tried there."""

    level: Level | None
    evidence: str


def device_of(view: View, gpu: GpuId) -> ProbedDevice | None:
    """The GPU as the view has it; a full share has it too, but refuses a context on it."""
    usable = {SUCCESS, OUT_OF_MEMORY}
    usable_devices = (d for d in view.devices if same_gpu(d.uuid, gpu) and d.result in usable)
    return next(usable_devices, None)


def result_on(view: View, gpu: GpuId) -> int | None:
    """How a context on the GPU ended (a CUresult); None if the view does not have the GPU."""
    return next((d.result for d in view.devices if same_gpu(d.uuid, gpu)), None)


def same_gpu(uuid: str, other: str) -> bool:
    """The driver does not say the prefix of a UUID, NVML does: compare what follows."""
    return key(uuid) == key(other)


def key(uuid: str) -> str:
    return uuid.partition("-")[2].lower()


def escaped(report: ProbeReport) -> Iterator[tuple[Escape, View]]:
    """Escapes by one program that got as far as the driver."""
    for escape in report.escapes:
        if escape.view and not escape.view.error:
            yield escape, escape.view


def groups(report: ProbeReport) -> Iterator[Escape]:
    """Attempts by several processes at once, all of which got as far as the driver."""
    for escape in report.escapes:
        if escape.processes and not any(view.error for view in escape.processes):
            yield escape


def held(escape: Escape, evidence: str) -> Attack:
    return Attack(name=escape.name, result=AttackResult.HELD, evidence=evidence)


def through(escape: Escape, evidence: str) -> Attack:
    return Attack(name=escape.name, result=AttackResult.THROUGH, evidence=evidence)


def untried(escape: Escape, evidence: str) -> Attack:
    return Attack(name=escape.name, result=AttackResult.UNTRIED, evidence=evidence)


def weakest(
    dimension: str,
    promised: Level,
    verdicts: Sequence[Verdict],
    attacks: Iterable[Attack] = (),
) -> Finding:
    """The weakest level over all GPUs; a GPU where nothing could be tried says nothing."""
    order = list(Level)
    known = [(order.index(v.level), v) for v in verdicts if v.level is not None]
    if not known:
        return Finding(
            dimension=dimension,
            promised=promised,
            delivered=None,
            evidence="; ".join(dict.fromkeys(v.evidence for v in verdicts)),
            trial=Trial.UNTRIED,
            attacks=tuple(attacks),
        )
    # `Level` lists the strongest first, so the greatest index is the weakest.
    _, worst = max(known, key=lambda pair: pair[0])
    return Finding(
        dimension=dimension,
        promised=promised,
        delivered=worst.level,
        evidence=worst.evidence,
        attacks=tuple(attacks),
    )
