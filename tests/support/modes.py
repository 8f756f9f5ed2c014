# SPDX-License-Identifier: Apache-2.0
"""Compute modes of GPUs in memory: what a port owes its callers, and how it fails them."""

from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId


class Modes:
    """`error` is raised by the next change, as a driver does."""

    def __init__(self, mode: ComputeMode = ComputeMode.DEFAULT, **of: ComputeMode) -> None:
        self.mode, self.error = mode, None
        self.of: dict[GpuId, ComputeMode] = {GpuId(gpu): mode for gpu, mode in of.items()}

    def compute_mode(self, gpu: GpuId) -> ComputeMode:
        return self.of.get(gpu, self.mode)

    def set_compute_mode(self, gpu: GpuId, mode: ComputeMode) -> None:
        if self.error:
            raise self.error
        self.of[gpu] = mode
