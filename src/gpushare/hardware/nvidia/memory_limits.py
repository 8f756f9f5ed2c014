# SPDX-License-Identifier: Apache-2.0
"""The driver's own memory limits per control group (NVML, driver 615 and newer)."""

import os
from typing import Any

import pynvml

from gpushare.hardware.ports import MemoryLimit
from gpushare.model.errors import HardwareError
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

from .nvml import Nvml

_FIRST_BRANCH = 615
_FUNCTION = "nvmlDeviceSetMemoryLimits_v1"


class NvmlMemoryLimits:
    """Implements the MemoryLimits port. `uid` is our own: only root may set limits."""

    def __init__(self, nvml: Nvml, uid: int | None = None) -> None:
        self._nvml, self._uid = nvml, os.geteuid() if uid is None else uid

    def limits_reason(self) -> str:
        try:
            branch = self._nvml.driver().branch
        except HardwareError as error:
            return str(error)
        if branch < _FIRST_BRANCH:
            return f"driver {branch} has no memory limits per control group, {_FIRST_BRANCH} has"
        if not hasattr(pynvml, _FUNCTION) or not self._nvml.exports(_FUNCTION):
            return "the NVML library has no memory limits"
        return "only root may set memory limits" if self._uid else ""

    def memory_limit(self, gpu: GpuId, cgroup: str) -> MemoryLimit:
        limits = pynvml.c_nvmlGetMemoryLimits_v1_t(nameSpace=cgroup.encode())
        self._nvml.call("nvmlDeviceGetMemoryLimits_v1", self._nvml.handle(gpu), limits)
        return MemoryLimit(
            soft=Bytes(limits.softLimit),
            hard=_bounded(limits.hardLimit),
            used=Bytes(limits.currentUsed),
        )

    def set_memory_limit(self, gpu: GpuId, cgroup: str, limit: MemoryLimit) -> None:
        hard = pynvml.NVML_DEVICE_MEMORY_LIMIT_MAX if limit.hard is None else limit.hard
        limits: Any = pynvml.c_nvmlSetMemoryLimits_v1_t(
            nameSpace=cgroup.encode(), softLimit=limit.soft or 0, hardLimit=hard
        )
        self._nvml.call(_FUNCTION, self._nvml.handle(gpu), limits)


def _bounded(value: int) -> Bytes | None:
    return None if value == pynvml.NVML_DEVICE_MEMORY_LIMIT_MAX else Bytes(value)
