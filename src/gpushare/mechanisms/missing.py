# SPDX-License-Identifier: Apache-2.0
"""Mechanisms that this gpushare does not have: what to tell users who ask for one."""

from collections.abc import Sequence

from gpushare.model.gpu import Gpu
from gpushare.model.spec import MechanismName


def missing(name: MechanismName, gpus: Sequence[Gpu]) -> str:
    """Why the mechanism is not available on a machine with these GPUs."""
    match name:
        case MechanismName.MIG:
            return _mig(gpus)
        case MechanismName.VGPU:
            return "virtual GPUs are made and granted by the hypervisor's own tools"
        case _:
            return "this gpushare does not have it"


def _mig(gpus: Sequence[Gpu]) -> str:
    """Existing instances are shared as GPUs of their own."""
    if any(gpu.parent for gpu in gpus):
        return "the instances there are count as GPUs of their own; new ones are not cut"
    if any(gpu.mig_enabled for gpu in gpus):
        return "MIG is on, but no instance is made: nvidia-smi mig -cgi PROFILE -C"
    return "MIG is off on every GPU: nvidia-smi -mig 1, as root"
