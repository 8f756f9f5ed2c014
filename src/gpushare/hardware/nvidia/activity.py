# SPDX-License-Identifier: Apache-2.0
"""Which processes have used a GPU recently, as sampled by NVML."""

from datetime import datetime

from gpushare.model.errors import DeniedError, GpuLostError, HardwareError, NoSuchGpuError
from gpushare.model.ids import GpuId

from .nvml import Nvml

_MICROSECONDS = 1e6


class NvmlActivity:
    """Implements the Activity port. Under MPS the driver may name the server for its clients."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml

    def busy(self, gpu: GpuId, since: datetime) -> frozenset[int] | None:
        """Pids that had the multiprocessors since then; None where the driver does not tell."""
        after = int(since.timestamp() * _MICROSECONDS)
        try:
            handle = self._nvml.handle(gpu)
        except (GpuLostError, NoSuchGpuError):
            return None
        try:
            samples = self._nvml.call("nvmlDeviceGetProcessUtilization", handle, after)
        except NoSuchGpuError:  # as NVML says that there are no samples
            return frozenset()
        except (HardwareError, DeniedError):
            return None
        return frozenset(sample.pid for sample in samples if sample.smUtil)
