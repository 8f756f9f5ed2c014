# SPDX-License-Identifier: Apache-2.0
"""What NVML says of the GPUs."""

from collections.abc import Iterable
from typing import Protocol

from gpushare.model.gpu import ComputeMode, Gpu
from gpushare.model.ids import GpuId
from gpushare.model.value import Value


class Driver(Value):
    """`version` as the kernel module says (580.159.03); `cuda` as the driver API (13000)."""

    version: str
    cuda: int
    simulated: bool = False

    @property
    def branch(self) -> int:
        """The release branch: 580 for 580.159.03."""
        return int(self.version.split(".", 1)[0] or 0)


class Xid(Value):
    """A critical error the driver reported about a GPU."""

    gpu: GpuId
    code: int


class Gpus(Protocol):
    """What NVML says of the GPUs."""

    def driver(self) -> Driver:
        """Raises NoDriverError, DriverMismatchError."""
        ...

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU and MIG instance with memory, health and processes; a lost GPU stays listed."""
        ...

    def links(self, gpus: Iterable[Gpu]) -> dict[GpuId, dict[GpuId, str]]:
        """How each pair of physical GPUs is joined: NV#, PIX, PXB, PHB, NODE, SYS.

        `gpus`: as `gpus()` has just returned them.
        """
        ...

    def xids(self, timeout: float) -> tuple[Xid, ...]:
        """Wait up to `timeout` seconds for critical errors.

        Empty when none came, or when another thread hears them.
        """
        ...

    def put_xids(self, gpu: GpuId, codes: tuple[int, ...]) -> None:
        """Make these the Xids of the GPU's health; none: earlier ones say nothing about it now."""
        ...


class ComputeModes(Protocol):
    def compute_mode(self, gpu: GpuId) -> ComputeMode: ...

    def set_compute_mode(self, gpu: GpuId, mode: ComputeMode) -> None:
        """Needs root; raises DeniedError without."""
        ...
