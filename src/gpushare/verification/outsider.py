# SPDX-License-Identifier: Apache-2.0
"""Whether programs outside a share that has GPUs alone are kept away from them.

Model: the outsider is a second probe, started as any program of the user is, in no control group
and without the share's variables. It tries to make a context on each GPU while a program of the
share has one. What it gets decides about memory and compute alike: a program with a context can
take both.
"""

from collections.abc import Mapping, Sequence

from gpushare.model.gpu import ComputeMode, Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Attack, AttackResult, Decision, Finding, Level
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL, format_bytes
from gpushare.model.value import Value
from gpushare.model.verification import SUCCESS, ProbeReport, View

from .reading import Verdict, device_of, result_on, weakest

_NAME = "a program outside the share"


class Outsider(Value):
    """`view`: what it saw; None: it was not started, and `because` says why.

    `admitted`: not started, because the compute mode admits it anyway.
    """

    view: View | None = None
    because: str = "it was not tried"
    admitted: bool = False


def alone(decision: Decision, stack: Sequence[Promise], gpus: Mapping[GpuId, Gpu]) -> bool:
    """Whether the share is promised all of its GPUs, without neighbours."""
    return any(promise.alone for promise in stack) and all(
        _whole(grant, gpus) for grant in decision.grants
    )


def kept_away(dimension: str, promised: Level, decision: Decision, outsider: Outsider) -> Finding:
    """The finding on memory or compute of such a share."""
    verdicts = [_of(grant.gpu, outsider) for grant in decision.grants]
    return weakest(dimension, promised, verdicts, [_attack(outsider, decision)])


def locked(decision: Decision, gpus: Mapping[GpuId, Gpu]) -> bool:
    """Whether the driver admits one process at a time to each of the share's GPUs."""
    modes = [gpus[gpu].compute_mode for gpu in decision.gpus if gpu in gpus]
    return bool(modes) and all(mode is ComputeMode.EXCLUSIVE_PROCESS for mode in modes)


def in_use(report: ProbeReport, decision: Decision) -> bool:
    """Whether a program of the share has a locked GPU, so that the probe got no context."""
    return any(result_on(report, gpu) == _UNAVAILABLE for gpu in decision.gpus)


_UNAVAILABLE = 46  # CUDA_ERROR_DEVICE_UNAVAILABLE


def _whole(grant: GpuGrant, gpus: Mapping[GpuId, Gpu]) -> bool:
    card = gpus.get(grant.gpu)
    return card is not None and grant.limit >= card.usable and grant.compute == FULL


def _of(gpu: GpuId, outsider: Outsider) -> Verdict:
    if outsider.admitted:
        return Verdict(Level.COOPERATIVE, f"the compute mode of the GPU admits {_NAME}")
    if outsider.view is None:
        return Verdict(None, outsider.because)
    result = result_on(outsider.view, gpu)
    if result == SUCCESS:
        device = device_of(outsider.view, gpu)
        free = format_bytes(device.free) if device else "no memory"
        return Verdict(Level.COOPERATIVE, f"{_NAME} gets a context with {free} free")
    if result == _UNAVAILABLE:
        return Verdict(Level.ENFORCED, f"the driver refuses {_NAME} a context")
    why = "does not see the GPU" if result is None else f"ends with CUDA error {result}"
    return Verdict(None, f"{_NAME} {why}, which says nothing about the compute mode")


def _attack(outsider: Outsider, decision: Decision) -> Attack:
    verdicts = [_of(gpu, outsider) for gpu in decision.gpus]
    evidence = "; ".join(dict.fromkeys(verdict.evidence for verdict in verdicts))
    if any(verdict.level is Level.COOPERATIVE for verdict in verdicts):
        return Attack(name=_NAME, result=AttackResult.THROUGH, evidence=evidence)
    tried = all(verdict.level is not None for verdict in verdicts)
    result = AttackResult.HELD if tried else AttackResult.UNTRIED
    return Attack(name=_NAME, result=result, evidence=evidence)
