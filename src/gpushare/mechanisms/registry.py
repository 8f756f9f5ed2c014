# SPDX-License-Identifier: Apache-2.0
"""The mechanisms of this gpushare, by name."""

from collections.abc import Callable
from pathlib import Path

from gpushare.hardware.host import Host
from gpushare.mechanisms.guard.gpu_pages import GpuPages
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.guard.swap_pools import SwapPools, SwapSettings
from gpushare.model.ids import GpuId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.units import Bytes

from .compute_lock import ComputeLock
from .driver_limit import DriverLimit
from .exclusive import Exclusive
from .mps import MpsMechanism
from .shm_paths import seen_by_gpus
from .stack import Mechanisms
from .timeslice import Timeslice

_SCHEDULING, _NO_SWAP = SchedulingSettings(), SwapSettings()


def lock_of(host: Host, runtime: Path) -> ComputeLock:
    """The lock on the GPUs of exclusive shares."""
    return ComputeLock(host.gpus, runtime / "exclusive")


def load(
    host: Host,
    runtime: Path,
    *,
    context: Callable[[GpuId], Bytes],
    lock: bool = False,
    root: bool = False,
    scheduling: SchedulingSettings = _SCHEDULING,
    swap: SwapSettings = _NO_SWAP,
    uuids: bool = False,
) -> Mechanisms:
    """All mechanisms on `host`; which of them work there is what Machine.capabilities says.

    `runtime`: our private folder. `context`: bytes one CUDA context costs on a GPU. `lock`: an
    exclusive share also sets the compute mode of its GPU, which needs `root`. `swap`: host memory
    for shares that are suspended; by default programs bring their own. `uuids`:
    CUDA_VISIBLE_DEVICES names GPUs by UUID, not by number.
    """
    gpu_pages = GpuPages(seen_by_gpus(host.memory, runtime / "boards"), scheduling)
    pools = SwapPools(host.memory, swap)
    layers = (
        DriverLimit(host.limits, host.cgroups),
        Guard(runtime / "regions", context, host.processes, gpu_pages=gpu_pages, pools=pools),
    )
    bases = (
        Exclusive(
            lock_of(host, runtime),
            lock=lock,
            unlockable="" if root else "exclusive_compute_mode needs a root daemon",
        ),
        Timeslice(),
        MpsMechanism(host.mps, layers=[layer.promise for layer in layers]),
    )
    return Mechanisms(
        (*bases, *layers), host.cgroups, host.devices, gpus=host.gpus.gpus, uuids=uuids
    )
