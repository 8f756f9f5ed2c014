# SPDX-License-Identifier: Apache-2.0
"""A profile as input of `gpushare-sim-machine create`; image.h lists the keys."""

from collections.abc import Iterator, Mapping

from gpushare.model.errors import ConfigError
from gpushare.model.units import MIB

from .profile import GpuModel, MachineProfile, MigInstance, VgpuType

_KIB = 1024
_PRODUCTION = 2  # NVML_CC_SYSTEM_ENVIRONMENT_PROD
_SM_PER_CHUNK = {8: 2, 9: 8}  # static SM partitions: 8 SMs on Hopper class, 2 before
_DIGITS = 9  # fits the 32 bits of the image
_SETTINGS = {"GPUSHARE_SIM_SLICE_US": "slice", "GPUSHARE_SIM_CHANGE_US": "change"}


def spec(profile: MachineProfile, model: GpuModel, settings: Mapping[str, str]) -> str:
    """The description of the machine, one `key=value` a line.

    `settings` are environment variables; those of `_SETTINGS` go before what the model says.
    """
    lines = [*_machine(profile), *_model(model), *_places(profile)]
    lines += [
        f"gpu.*.{key}={_length(name, settings[name])}"
        for name, key in _SETTINGS.items()
        if name in settings
    ]
    lines += [line for i, cut in enumerate(profile.mig) for line in _instance(i, cut, profile)]
    lines += [line for i, kind in enumerate(profile.vgpu) for line in _vgpu(i, kind)]
    return "".join(f"{line}\n" for line in lines)


def _length(name: str, text: str) -> int:
    """Microseconds, of which only a change of contexts may take none."""
    least = 0 if _SETTINGS[name] == "change" else 1
    digits = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    if not digits or int(text) < least:
        raise ConfigError(
            f"cannot read {name}={text}",
            f"it is a whole number of microseconds, {least} or more, with at most {_DIGITS} digits",
            f"unset {name}, or set a length: {name}=500",
        )
    return int(text)


def _machine(profile: MachineProfile) -> Iterator[str]:
    major, minor = profile.cuda.split(".")
    yield f"driver={profile.driver}"
    yield f"nvml={major}.{profile.driver}"
    yield f"cuda={int(major) * 1000 + int(minor) * 10}"
    yield f"gpus={len(profile.pci)}"
    if profile.confidential:
        yield f"confidential={_PRODUCTION}"
        yield f"confidential_tools={int(profile.confidential == 'devtools')}"


def _model(model: GpuModel) -> Iterator[str]:
    major, minor = model.compute_capability
    keys = {
        "name": model.name,
        "arch": model.architecture,
        "cc": f"{major}.{minor}",
        "sms": model.sm_count,
        "sm_chunk": _SM_PER_CHUNK[major],
        "memory": model.memory_mib * MIB,
        "reserved": model.reserved_mib * MIB,
        "context": model.context_mib * MIB,
        "bar1": 2 * _power_of_two(model.memory_mib) * MIB,
        "memory_bus": model.memory_bus_bits,
        "bandwidth": model.bandwidth_gbs * 10**9,
        "link": model.link_gbs * 10**9,
        "l2": model.l2_mib * MIB,
        "shared": model.shared_kib * _KIB,
        "shared_optin": (model.shared_kib - 1) * _KIB,
        "threads_per_sm": model.threads_per_sm,
        "pci_id": model.pci_device_id,
        "pci_subsystem": model.pci_subsystem_id,
        "pcie_gen": model.pcie.generation,
        "pcie_width": model.pcie.width,
        "clock_sm": model.clocks_mhz.sm,
        "clock_mem": model.clocks_mhz.memory,
        "power_limit": model.power_watts * 1000,
        "ecc": int(model.ecc),
        "mig_capable": int(model.mig_capable),
        "persistence": 1,
        "slice": model.slice_us,
        "change": model.change_us,
    }
    yield from (f"gpu.*.{key}={value}" for key, value in keys.items())


def _power_of_two(value: int) -> int:
    return 1 << (value.bit_length() - 1)


def _places(profile: MachineProfile) -> Iterator[str]:
    per_node = -(-len(profile.pci) // profile.numa_nodes)
    for index, address in enumerate(profile.pci):
        yield f"gpu.{index}.pci={address}"
        yield f"gpu.{index}.numa={index // per_node}"
        yield f"gpu.{index}.serial={1650000000000 + index}"
        yield f"gpu.{index}.nvlinks={profile.nvlinks}"
        yield f"gpu.{index}.vgpu={'host' if profile.vgpu else 'none'}"
    if profile.mig:
        yield "gpu.0.mig=1"


def _instance(index: int, cut: MigInstance, profile: MachineProfile) -> Iterator[str]:
    start = sum(_memory_slices(earlier) for earlier in profile.mig[:index])
    keys = {
        "gpu": 0,
        "uuid": f"MIG-51600000-0000-5000-8000-{index + 1:012x}",
        "profile": cut.profile,
        "memory": cut.memory_mib * MIB,
        "sms": cut.sm_count,
        "gi": index + 1,
        "ci": 0,
        "start": start,
        "size": _memory_slices(cut),
    }
    yield from (f"mig.{index}.{key}={value}" for key, value in keys.items())


def _memory_slices(cut: MigInstance) -> int:
    """A 3-slice instance takes half of the eight memory slices."""
    return {3: 4, 7: 8}.get(cut.slices, cut.slices)


def _vgpu(index: int, kind: VgpuType) -> Iterator[str]:
    yield f"vgpu.{index}.id={kind.id}"
    yield f"vgpu.{index}.name={kind.name}"
    yield f"vgpu.{index}.class={kind.kind}"
    yield f"vgpu.{index}.memory={kind.memory_mib * MIB}"
    yield f"vgpu.{index}.instances={kind.instances}"
