# SPDX-License-Identifier: Apache-2.0
"""Where GPUs sit: PCI address, NUMA node, and how each pair is joined."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pynvml

from gpushare.model.ids import GpuId

from .nvml import Nvml

# As `nvidia-smi topo -m` prints them.
_ANCESTORS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "PIX",
    pynvml.NVML_TOPOLOGY_SINGLE: "PIX",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
    pynvml.NVML_TOPOLOGY_NODE: "NODE",
    pynvml.NVML_TOPOLOGY_SYSTEM: "SYS",
}


def pci_address(bus_id: str) -> str:
    """NVML's 00000000:19:00.0 as sysfs writes it: 0000:19:00.0."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def numa_node(root: Path, pci: str) -> int | None:
    """The NUMA node of a PCI device; None where the firmware does not say."""
    with suppress(OSError, ValueError):
        node = int((_device(root, pci) / "numa_node").read_text())
        # The kernel writes -1 where it does not know the node.
        return node if node >= 0 else None
    return None


def cpu_affinity(root: Path, pci: str) -> frozenset[int]:
    """CPUs close to a PCI device; empty where the kernel does not say."""
    try:
        return parse_cpus((_device(root, pci) / "local_cpulist").read_text())
    except (OSError, ValueError):
        return frozenset()


def parse_cpus(text: str) -> frozenset[int]:
    """Read the kernel's `0-3,8,10-11`; raises ValueError."""
    spans = [part.split("-", 1) for part in text.strip().split(",") if part]
    return frozenset(cpu for span in spans for cpu in range(int(span[0]), int(span[-1]) + 1))


def links(nvml: Nvml, handles: Mapping[GpuId, Any]) -> dict[GpuId, dict[GpuId, str]]:
    """NV# for each pair joined by NVLink, else their nearest common ancestor on the bus."""
    names: dict[GpuId, dict[GpuId, str]] = {gpu: {} for gpu in handles}
    wires = {gpu: _nvlinks(nvml, handle) for gpu, handle in handles.items()}
    addresses = {gpu: _address(nvml, handle) for gpu, handle in handles.items()}
    for gpu, peer in combinations(handles, 2):
        count = min(_towards(wires[gpu], addresses[peer]), _towards(wires[peer], addresses[gpu]))
        name = f"NV{count}" if count else _ancestor(nvml, handles[gpu], handles[peer])
        names[gpu][peer] = names[peer][gpu] = name
    return names


def _device(root: Path, pci: str) -> Path:
    return root / "sys/bus/pci/devices" / pci


def _address(nvml: Nvml, handle: Any) -> str:
    info = nvml.get("nvmlDeviceGetPciInfo", handle)
    return pci_address(info.busId) if info else ""


def _nvlinks(nvml: Nvml, handle: Any) -> list[str]:
    """Far ends of the active links: a PCI address, or `switch`."""
    ends = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        if not nvml.get("nvmlDeviceGetNvLinkState", handle, link, default=0):
            continue
        kind = nvml.get("nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
        far = nvml.get("nvmlDeviceGetNvLinkRemotePciInfo", handle, link)
        switch = kind == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH
        ends.append("switch" if switch else pci_address(far.busId) if far else "")
    return ends


def _towards(ends: list[str], address: str) -> int:
    """Links that reach the address; every GPU on the switch is reached through all of them."""
    return ends.count("switch") or ends.count(address)


def _ancestor(nvml: Nvml, handle: Any, peer: Any) -> str:
    level = nvml.get("nvmlDeviceGetTopologyCommonAncestor", handle, peer)
    return _ANCESTORS.get(level, "SYS")
