# SPDX-License-Identifier: Apache-2.0
"""All ports of this room, opened once by the daemon."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.device_filter import CgroupDevices
from gpushare.hardware.linux.host_memory import LinuxHostMemory
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.mps.daemons import MpsDaemons
from gpushare.hardware.nvidia.gpus import NvmlGpus
from gpushare.hardware.nvidia.memory_limits import NvmlMemoryLimits
from gpushare.hardware.nvidia.nvml import Nvml
from gpushare.model.errors import NoDriverError
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

from .probe import ProbeRunner, probe_program


@dataclass(frozen=True)
class Host:
    """The machine we run on."""

    nvml: Nvml
    gpus: NvmlGpus
    limits: NvmlMemoryLimits
    processes: ProcProcesses
    cgroups: FsCgroups
    memory: LinuxHostMemory
    mps: MpsDaemons
    probe: ProbeRunner
    devices: CgroupDevices

    @classmethod
    def open(
        cls,
        runtime: Path,
        *,
        root: Path = Path("/"),
        env: Mapping[str, str] | None = None,
        cgroup_parent: str | None = None,
        mps_protocol: int = 2,
    ) -> "Host":
        """`runtime`: a private folder of ours. The driver is not called yet."""
        nvml, processes = Nvml(), ProcProcesses(root)
        cgroups, gpus = FsCgroups(root, cgroup_parent), NvmlGpus(nvml, root)
        return cls(
            nvml=nvml,
            gpus=gpus,
            limits=NvmlMemoryLimits(nvml, os.geteuid()),
            processes=processes,
            cgroups=cgroups,
            memory=LinuxHostMemory(root),
            mps=MpsDaemons(runtime / "mps", processes, env, root=root, protocol=mps_protocol),
            probe=ProbeRunner(cgroups, probe_program),
            devices=CgroupDevices(cgroups, gpus.known),
        )

    def machine(
        self,
        context: Mapping[GpuId, Bytes] | None = None,
        *,
        capabilities: Callable[[Sequence[Gpu]], tuple[Capability, ...]] = lambda _: (),
    ) -> Machine:
        """A snapshot. `context`: what one CUDA context costs per GPU, as the probe measured it.

        `capabilities`: those of the mechanisms, given the GPUs. Raises DriverMismatchError; a
        machine without a driver is one without GPUs.
        """
        try:
            gpus = self.gpus.gpus()
            links = self.gpus.links(gpus)
        except NoDriverError:
            gpus, links = (), {}
        return Machine(
            gpus=gpus,
            capabilities=capabilities(gpus),
            context=dict(context or {}),
            links=links,
        )
