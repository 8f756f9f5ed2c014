# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, and for what it cannot, why."""

from collections.abc import Iterable

from gpushare.model.gpu import Capability, Gpu
from gpushare.model.spec import MechanismName

_OLDEST_MPS = (7, 0)  # Volta: the first with an address space per client


def detect(
    gpus: Iterable[Gpu],
    *,
    mps: str | None,
    guard: str,
    limits: str,
    cgroups: str,
) -> tuple[Capability, ...]:
    """One capability per mechanism. `guard`, `limits` and `cgroups` are reasons, empty if none."""
    cards = [gpu for gpu in gpus if not gpu.health.lost]
    none = "" if cards else "this machine has no working GPU"
    reasons = {
        MechanismName.EXCLUSIVE: none,
        MechanismName.TIMESLICE: none,
        MechanismName.MPS: none or _no_mps(cards, mps),
        MechanismName.MIG: none or _no_mig(cards),
        MechanismName.VGPU: none
        or "virtual GPUs are made and granted by the hypervisor's own tools",
        MechanismName.DRIVER_LIMIT: none or limits or _no_group(cgroups),
        MechanismName.GUARD: none or guard,
    }
    return tuple(
        Capability(mechanism=name, available=not reason, reason=reason)
        for name, reason in reasons.items()
    )


def _no_mps(cards: list[Gpu], binary: str | None) -> str:
    if binary is None:
        return "nvidia-cuda-mps-control is not on PATH"
    old = [gpu for gpu in cards if gpu.compute_capability and gpu.compute_capability < _OLDEST_MPS]
    return f"{old[0].name} is older than Volta" if old else ""


def _no_mig(cards: list[Gpu]) -> str:
    """Instances that exist are GPUs of their own here; none are cut."""
    if any(gpu.parent for gpu in cards):
        return "the instances there are count as GPUs of their own; new ones are not cut"
    if any(gpu.mig_enabled for gpu in cards):
        return "MIG is on, but no instance is made: nvidia-smi mig -cgi PROFILE -C"
    return "MIG is off on every GPU: nvidia-smi -mig 1, as root"


def _no_group(reason: str) -> str:
    return f"limits hang on control groups: {reason}" if reason else ""
