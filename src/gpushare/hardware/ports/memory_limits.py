# SPDX-License-Identifier: Apache-2.0
"""The driver's own memory limits."""

from typing import Protocol

from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes
from gpushare.model.value import Value


class MemoryLimit(Value):
    """Device memory limits of one control group on one GPU; None: no limit."""

    soft: Bytes | None = None  # guaranteed
    hard: Bytes | None = None  # never exceeded
    used: Bytes | None = None


class MemoryLimits(Protocol):
    """The driver's own limits per control group (driver 615 and newer)."""

    def limits_reason(self) -> str:
        """Why the driver cannot do this here; empty when it can."""
        ...

    def memory_limit(self, gpu: GpuId, cgroup: str) -> MemoryLimit: ...

    def set_memory_limit(self, gpu: GpuId, cgroup: str, limit: MemoryLimit) -> None:
        """Needs root. A soft limit must be zero before the control group is removed."""
        ...
