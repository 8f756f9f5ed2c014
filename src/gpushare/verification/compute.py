# SPDX-License-Identifier: Apache-2.0
"""Whether a compute limit holds, and a guarantee is met.

Where the limit is held in GPU time, the time that a program gets counts; else the multiprocessors
that it sees, with the limit and without.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Attack, AttackResult, Decision, Finding, Level
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL
from gpushare.model.verification import OUT_OF_MEMORY, ProbeReport, View

from .arguments import timed
from .reading import (
    Verdict,
    device_of,
    escaped,
    groups,
    untried,
    weakest,
)

# CUDA_MPS_ACTIVE_THREAD_PERCENTAGE is rounded to whole groups of multiprocessors (H200: 5 % of
# 132 gives 8).
_GROUP = 8
_POINTS = 100  # basis points of a percent
_CLOSE = 3  # percent points
_MOST_OF = 95  # percent of what an attack would gain; above it, it succeeded
_TURNS = 10  # percent points; two programs on a busy machine miss turns of each other


def compute(
    decision: Decision,
    stack: Sequence[Promise],
    report: ProbeReport,
    gpus: Mapping[GpuId, Gpu],
    *,
    idle: bool,
    contested: Mapping[GpuId, float],
) -> Finding:
    limited = [grant for grant in decision.grants if grant.compute < FULL]
    promised = decision.enforcement.compute
    if not limited or promised in {Level.NONE, Level.REPORTED}:
        evidence = "nothing is limited" if not limited else "nothing limits it"
        return Finding(
            dimension="compute", promised=promised, delivered=promised, evidence=evidence
        )
    if not timed(decision, stack):
        return weakest("compute", promised, [_seen(grant, report, gpus) for grant in limited])
    at_once = any(promise.served for promise in stack)
    attacks = {grant.gpu: list(_attacks(grant, report, at_once=at_once)) for grant in limited}
    verdicts = [_timed(grant, report, attacks[grant.gpu], idle=idle) for grant in limited]
    verdicts += [it for grant in limited if (it := _kept(grant, contested.get(grant.gpu)))]
    every = [attack for each in attacks.values() for attack in each]
    return _with_rival(weakest("compute", promised, verdicts, every), contested)


def _timed(
    grant: GpuGrant, report: ProbeReport, attacks: Sequence[Attack], *, idle: bool
) -> Verdict:
    """What other programs keep from the probe does not speak against the share's own limit."""
    device = device_of(report, grant.gpu)
    # A full share refuses the probe's context, so there is nothing to measure.
    if device is not None and device.result == OUT_OF_MEMORY and report.guard.attached:
        return Verdict(None, "the share is full, so no work could be tried; its guard answers")
    if device is None or device.compute is None:
        return Verdict(None, f"no work on {grant.gpu} could be tried")
    evidence = f"a program that wants all gets {_percent(device.compute)} of the GPU's time"
    if device.compute == 0:
        if not idle:
            return Verdict(None, f"{evidence}, next to other programs")
        return Verdict(Level.NONE, f"{evidence}, though nothing else runs there")
    if _above(device.compute, grant):
        return Verdict(Level.NONE, f"{evidence}, above its {grant.compute} %")
    level, passed = _passed(report, attacks)
    return Verdict(level, f"{evidence}; {passed}")


def _with_rival(finding: Finding, contested: Mapping[GpuId, float]) -> Finding:
    """The evidence also says what is left next to another program."""
    if not contested or finding.delivered in {None, Level.NONE}:
        return finding
    kept = f"{min(contested.values()):.1f} % next to a program that wants all"
    return replace(finding, evidence=f"{finding.evidence}; {kept}")


def _kept(grant: GpuGrant, percent: float | None) -> Verdict | None:
    """A guarantee that another program takes away; turns are exact to a few points."""
    if percent is None or percent >= min(grant.compute_request - _TURNS, grant.compute):
        return None
    return Verdict(
        Level.NONE,
        f"next to a program that wants all, the share gets {percent:.1f} % of the GPU's time; "
        f"{_guaranteed(grant)} are guaranteed",
    )


def _guaranteed(grant: GpuGrant) -> str:
    return f"{grant.compute_request} %"


def _passed(report: ProbeReport, attacks: Sequence[Attack]) -> tuple[Level, str]:
    """What the ways around a limit leave of it."""
    through = [attack for attack in attacks if attack.result is AttackResult.THROUGH]
    # A program may have several processes; nothing about that is an attempt to escape.
    honest = {escape.name for escape in groups(report)}
    if several := [attack for attack in through if attack.name in honest]:
        return Level.NONE, f"{several[0].name} {several[0].evidence}"
    if through:
        return Level.COOPERATIVE, f"{through[0].name} {through[0].evidence}"
    return Level.COOPERATIVE, "one that drops the guard takes what it wants"


def _attacks(grant: GpuGrant, report: ProbeReport, *, at_once: bool) -> Iterator[Attack]:
    """`at_once`: kernels of several processes run at the same time, so their times overlap."""
    for escape, view in escaped(report):
        points = _points(view, grant.gpu)
        if view.refused:
            yield untried(escape, view.refused)
        elif points is not None:
            yield _judged(escape.name, points, grant)
    for escape in groups(report):
        each = [_points(view, grant.gpu) for view in escape.processes]
        known = [points for points in each if points is not None]
        if len(known) == len(each):
            yield _crowd(escape.name, max(known) if at_once else sum(known), grant)


def _judged(name: str, points: int, grant: GpuGrant) -> Attack:
    result = AttackResult.THROUGH if _above(points, grant) else AttackResult.HELD
    return Attack(name=name, result=result, evidence=_percent(points))


def _crowd(name: str, points: int, grant: GpuGrant) -> Attack:
    """A limit for each process would give them four times as much, or all of the GPU.

    On a busy machine the processes do not measure the same second, so less than that says nothing.
    """
    if not _above(points, grant):
        return Attack(name=name, result=AttackResult.HELD, evidence=_percent(points))
    if points >= min(4 * grant.compute, FULL) * _POINTS * _MOST_OF // FULL:
        return Attack(name=name, result=AttackResult.THROUGH, evidence=_percent(points))
    unclear = f"{_percent(points)} together, measured at different times"
    return Attack(name=name, result=AttackResult.UNTRIED, evidence=unclear)


def _above(points: int, grant: GpuGrant) -> bool:
    return points > (grant.compute + _CLOSE) * _POINTS


def _points(view: View, gpu: GpuId) -> int | None:
    device = device_of(view, gpu)
    return device.compute if device is not None else None


def _percent(points: int) -> str:
    return f"{points / _POINTS:.1f} %"


def _seen(grant: GpuGrant, report: ProbeReport, gpus: Mapping[GpuId, Gpu]) -> Verdict:
    device = device_of(report, grant.gpu)
    if device is None:
        return Verdict(None, f"no program could be tried on {grant.gpu}")
    outside = [(escape.name, device_of(view, grant.gpu)) for escape, view in escaped(report)]
    counts = {
        name: device_there.multiprocessors
        for name, device_there in outside
        if device_there is not None
    }
    card = gpus.get(grant.gpu)
    whole = max([device.multiprocessors, (card.sm_count or 0) if card else 0, *counts.values()])
    evidence = f"a program sees {device.multiprocessors} of {whole} multiprocessors"
    if device.multiprocessors > max(whole * grant.compute / FULL, _GROUP):
        return Verdict(Level.NONE, f"{evidence}, above its {grant.compute} %")
    more = [name for name, count in counts.items() if count > device.multiprocessors]
    if more:
        return Verdict(Level.COOPERATIVE, f"{evidence}; {more[0]} it sees {counts[more[0]]}")
    return Verdict(Level.ENFORCED, f"{evidence}, whatever it does to its environment")
