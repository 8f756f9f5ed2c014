# SPDX-License-Identifier: Apache-2.0
"""Profiles: what a simulated machine consists of, as data (`profiles/` and `models/`)."""

import difflib
from collections.abc import Mapping
from importlib import resources
from typing import Literal

import msgspec

from gpushare.model.errors import UnknownProfileError
from gpushare.model.value import Value


class Pcie(Value):
    generation: int
    width: int


class Clocks(Value):
    sm: int
    memory: int


class GpuModel(Value):
    """A GPU as its vendor sells it.

    `reserved_mib`: what the driver keeps of `memory_mib`; `context_mib`: what one CUDA context
    costs; `link_gbs` and `bandwidth_gbs`: GB/s to the host and to its own memory; `slice_us` and
    `change_us`: the time slice of a process next to others (what driver 580 sets), and what a
    change of contexts costs (measured on an H200), in µs.
    """

    name: str
    architecture: str
    compute_capability: tuple[int, int]
    sm_count: int
    memory_mib: int
    reserved_mib: int
    memory_bus_bits: int
    pci_device_id: int
    pci_subsystem_id: int
    pcie: Pcie
    power_watts: int
    clocks_mhz: Clocks
    ecc: bool
    bandwidth_gbs: int
    link_gbs: int
    l2_mib: int
    shared_kib: int
    threads_per_sm: int
    context_mib: int
    mig_capable: bool
    slice_us: int = 2048
    change_us: int = 165


class MigInstance(Value):
    profile: str
    slices: int
    sm_count: int
    memory_mib: int


class VgpuType(Value, rename={"kind": "class"}):
    """A vGPU type the host could create; `instances`: how many fit one GPU."""

    id: int
    name: str
    kind: str
    memory_mib: int
    instances: int


class MachineProfile(Value):
    """A whole machine: one GPU per PCI address.

    `mig` cuts the first GPU; `nvlinks` join every GPU to a switch; `numa_nodes` share the GPUs.
    `confidential`: confidential computing is on, `production` or `devtools`.
    """

    description: str
    driver: str
    cuda: str
    model: str
    pci: tuple[str, ...]
    numa_nodes: int = 1
    nvlinks: int = 0
    mig: tuple[MigInstance, ...] = ()
    vgpu: tuple[VgpuType, ...] = ()
    confidential: Literal["", "production", "devtools"] = ""


def _texts(folder: str) -> Mapping[str, str]:
    files = resources.files(__package__) / folder
    return {
        file.name.removesuffix(".yaml"): file.read_text("utf-8")
        for file in sorted(files.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def profiles() -> dict[str, MachineProfile]:
    """Every profile by name."""
    return {
        name: msgspec.yaml.decode(text, type=MachineProfile)
        for name, text in _texts("profiles").items()
    }


def load_profile(name: str) -> MachineProfile:
    """The profile of this name; raises UnknownProfileError, which lists the known ones."""
    by_name = profiles()
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    raise UnknownProfileError(
        f"there is no simulated machine {name!r}",
        f"the profiles are {', '.join(by_name)}",
        f"gpushare simulate {near[0]}" if near else "gpushare simulate --list",
    )


def load_model(name: str) -> GpuModel:
    """The GPU model a profile names."""
    return msgspec.yaml.decode(_texts("models")[name], type=GpuModel)
