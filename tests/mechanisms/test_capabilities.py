# SPDX-License-Identifier: Apache-2.0
"""Which mechanisms work on a machine, and why the others do not."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpushare.hardware.host import Host
from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.mechanisms import Mechanisms, load
from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Gpu, GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, Bytes

CARD = Gpu(uuid=GpuId("GPU-a"), index=0, name="NVIDIA H200", memory_total=Bytes(140 * GIB))
LOST = replace(CARD, health=GpuHealth(lost=True))
PASCAL = replace(CARD, name="Tesla P100", compute_capability=(6, 0))


class Tool:
    """MPS as far as it is installed."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def binary(self) -> str | None:
        return self.path


class Driver:
    def __init__(self, reason: str) -> None:
        self.reason = reason

    def limits_reason(self) -> str:
        return self.reason


class Groups:
    def __init__(self, reason: str = "", version: int = 2) -> None:
        self.because, self.version = reason, version

    def reason(self) -> str:
        return self.because


def reasons(
    *gpus: Gpu, mps: str | None = "/usr/bin/x", driver: str = "", groups: Groups | None = None
) -> dict[MechanismName, str]:
    groups = groups or Groups()
    known = (Timeslice(), MpsMechanism(Tool(mps)), DriverLimit(Driver(driver), groups))
    found = Mechanisms(known, FsCgroups()).capabilities(gpus)
    assert all(one.available is not bool(one.reason) for one in found)
    return {one.mechanism: one.reason for one in found}


def test_every_name_has_an_answer() -> None:
    assert set(reasons(CARD)) == set(MechanismName)


def test_what_works_has_no_reason() -> None:
    found = reasons(CARD)
    assert found[MechanismName.TIMESLICE] == ""
    assert found[MechanismName.MPS] == ""
    assert found[MechanismName.DRIVER_LIMIT] == ""


@pytest.mark.parametrize("gpus", [(), (LOST,)])
def test_without_a_working_gpu_nothing_works(gpus: tuple[Gpu, ...]) -> None:
    assert set(reasons(*gpus).values()) == {"this machine has no working GPU"}


def test_mps_needs_its_tool_and_volta() -> None:
    missing = reasons(CARD, mps=None)[MechanismName.MPS]
    assert missing == "nvidia-cuda-mps-control is not on PATH"
    assert reasons(CARD, PASCAL)[MechanismName.MPS] == "Tesla P100 is older than Volta"


def test_the_drivers_limits_need_the_driver_and_control_groups() -> None:
    def limit(**known: object) -> str:
        return reasons(CARD, **known)[MechanismName.DRIVER_LIMIT]  # type: ignore[arg-type]

    assert limit(driver="driver 580") == "driver 580"
    assert "read-only" in limit(groups=Groups("read-only"))
    assert "no cgroup v2" in limit(groups=Groups(version=1))


def test_a_mechanism_that_is_not_there_says_what_to_do_instead() -> None:
    instance = replace(CARD, parent=GpuId("GPU-b"))
    assert "nvidia-smi -mig 1" in reasons(CARD)[MechanismName.MIG]
    assert "-cgi" in reasons(replace(CARD, mig_enabled=True))[MechanismName.MIG]
    assert "GPUs of their own" in reasons(instance)[MechanismName.MIG]
    assert "hypervisor" in reasons(CARD)[MechanismName.VGPU]
    assert reasons(CARD)[MechanismName.EXCLUSIVE] == "this gpushare does not have it"


def test_the_guard_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanisms = load(Host.open(tmp_path), tmp_path, context=lambda _: Bytes(0))
    monkeypatch.setenv("GPUSHARE_NATIVE", str(tmp_path))
    found = {one.mechanism: one.reason for one in mechanisms.capabilities([CARD])}
    assert "libgpushare.so" in found[MechanismName.GUARD]
