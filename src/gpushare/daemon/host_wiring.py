# SPDX-License-Identifier: Apache-2.0
"""Wires the daemon to the ports of the machine that it runs on."""

import os
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from gpushare.config.settings import Settings, VisibleDevices
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.paths import myself, runtime_folder
from gpushare.hardware.host import Host
from gpushare.hardware.linux.census import Censuses
from gpushare.hardware.linux.clock import SystemClock
from gpushare.hardware.linux.namespaces import in_initial_namespace
from gpushare.hardware.linux.residents import Residents
from gpushare.hardware.linux.signals import send
from gpushare.hardware.nvidia.activity import NvmlActivity
from gpushare.hardware.nvidia.checkpoint import CudaCheckpoints
from gpushare.hardware.nvidia.clearing import not_cleared
from gpushare.hardware.ports import Activity
from gpushare.hardware.simulated.presence import machine_folder
from gpushare.mechanisms.guard.living import LivingSlots
from gpushare.mechanisms.guard.living_shares import living_shares
from gpushare.mechanisms.guard.swap_pools import SwapPools, SwapSettings
from gpushare.mechanisms.leftovers import Leftovers
from gpushare.mechanisms.registry import load, lock_of
from gpushare.mechanisms.shm_paths import seen_by_gpus, shared
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes
from gpushare.store import Store
from gpushare.verification.run import VerificationProbe

# The names of MPS' control daemon and server are longer; the kernel keeps 15 bytes
# (proc_pid_comm(5)).
_MPS = "nvidia-cuda-mps"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Of this boot of the machine."""
    return _BOOT_ID.read_text().strip()


def host_ports(settings: Settings, store: Store) -> HostPorts:
    """Does not call the driver yet; raises DeniedError if a folder belongs to another user."""
    runtime = runtime_folder(settings.runtime_dir)
    group = _simulated_group() if myself() == 0 else None
    host = Host.open(runtime, cgroup_parent=group, mps_protocol=settings.mps_protocol)
    clock = SystemClock()
    mechanisms = _mechanisms(settings, store, host, runtime)
    return HostPorts(
        gpus=host.gpus,
        processes=host.processes,
        census=Censuses(),
        cgroups=host.cgroups,
        mechanisms=mechanisms,
        machine=partial(host.machine, capabilities=mechanisms.capabilities),
        listed=partial(_listed, host.probe.owns),
        outside=partial(_outside, host.probe.owns),
        busy=partial(_busy, NvmlActivity(host.nvml)),
        probe=VerificationProbe(
            host, clock, mechanisms.stack, peer_gpus=mechanisms.peer_gpus, rival=mechanisms.rival
        ),
        checkpoints=CudaCheckpoints(),
        residents=Residents(),
        leftovers=_leftovers(settings, host, runtime),
        signal=partial(send, host.processes),
        clock=clock,
        boot=boot_id(),
        host_memory=_host_memory(settings, host),
        not_cleared=not_cleared,
        living_shares=partial(living_shares, runtime, host.processes),
    )


def prepare(settings: Settings) -> bool:
    """What a daemon in a sandbox cannot do itself; False: there is no memory for pools of its own.

    Asking the driver for its GPUs loads its kernel module and makes the device nodes.
    """
    runtime = runtime_folder(settings.runtime_dir)
    host = Host.open(runtime, mps_protocol=settings.mps_protocol)
    host.machine()
    return SwapPools(host.memory, _swapping(settings, host, runtime)).prepare()


def _mechanisms(settings: Settings, store: Store, host: Host, runtime: Path) -> Mechanisms:
    return load(
        host,
        runtime,
        context=lambda gpu: _cost(store, gpu),
        lock=settings.exclusive_compute_mode,
        root=myself() == 0,
        scheduling=settings,
        swap=_swapping(settings, host, runtime),
        uuids=settings.visible_devices is VisibleDevices.UUIDS,
    )


def _swapping(settings: Settings, host: Host, runtime: Path) -> SwapSettings:
    """Half of the machine's memory unless the settings give another size."""
    memory = settings.swap_memory
    return SwapSettings(
        folder=settings.swap_dir or runtime / "swap",
        memory=Bytes(host.memory.total() // 2) if memory is None else memory,
        ahead=settings.swap_ahead,
    )


def _host_memory(settings: Settings, host: Host) -> Bytes:
    """Without pools programs take host memory of their own, which has no other bound."""
    pools = _swapping(settings, host, settings.runtime_dir).memory
    return pools or Bytes(host.memory.total() // 2)


def _leftovers(settings: Settings, host: Host, runtime: Path) -> Leftovers:
    pools = settings.swap_dir or runtime / "swap"
    return Leftovers(
        regions=runtime / "regions",
        gpu_pages=seen_by_gpus(host.memory, runtime / "boards"),
        pools=(pools, shared(pools)),
        groups=host.cgroups.folder("share").parent,
        mps_folder=runtime / "mps",
        cgroups=host.cgroups,
        mps=host.mps,
        locks=lock_of(host, runtime),
        living=LivingSlots(host.processes),
    )


def _simulated_group() -> str | None:
    """Where the control groups of a simulated machine are: not among those of the real one."""
    folder = machine_folder(os.environ)
    return f"/{folder.name}" if folder else None


def _cost(store: Store, gpu: GpuId) -> Bytes:
    return store.contexts.all().get(gpu, Bytes(0))


def _listed(ours: Callable[[int], bool], gpu: Gpu) -> Sequence[GpuProcess] | None:
    """Without probes, which drop the guard on purpose (`ours`).

    None also in a pid namespace of its own: the driver's numbers mean other processes there.
    """
    known = gpu.simulated or in_initial_namespace()
    if not known or not gpu.lists_processes:
        return None
    return tuple(process for process in gpu.processes if not ours(process.pid))


def _outside(probes: Callable[[int], bool], gpu: Gpu, pids: Collection[int]) -> list[GpuProcess]:
    """Without `pids`, the servers of MPS, and processes that have just ended."""
    others = (process for process in _listed(probes, gpu) or () if process.pid not in pids)
    # Only these are looked up in /proc: most processes on a GPU are in shares.
    names = ((process, _name(process.pid)) for process in others)
    return [process for process, name in names if name and not name.startswith(_MPS)]


def _busy(activity: Activity, gpu: GpuId, since: datetime) -> frozenset[int] | None:
    """None also in a pid namespace of its own, unless the machine is simulated."""
    known = "GPUSHARE_SIM_MACHINE" in os.environ or in_initial_namespace()
    return activity.busy(gpu, since) if known else None


def _name(pid: int) -> str:
    """The name of the process (proc_pid_comm(5)); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
