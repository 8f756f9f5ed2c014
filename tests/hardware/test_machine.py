# SPDX-License-Identifier: Apache-2.0
"""A machine put together: topology, capabilities and their reasons."""

import json
from pathlib import Path
from typing import Any

import pytest

from gpushare.hardware.nvidia.topology import cpu_affinity, numa_node, parse_cpus, pci_address
from support.machine import Machine, clean_environment

LOOK = """
import json, sys, msgspec
from pathlib import Path
from gpushare.hardware.host import Host
from gpushare.mechanisms import load
host, folder = Host.open(Path(sys.argv[1])), Path(sys.argv[1])
mechanisms = load(host, folder, context=lambda gpu: 0)
machine = host.machine({"GPU-x": 5}, capabilities=mechanisms.capabilities)
print(json.dumps(msgspec.to_builtins(machine)))
"""


def look(machine: Machine, folder: Path) -> Any:
    done = machine.python(LOOK, str(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("text", "cpus"), [("", []), ("0", [0]), ("0-2,8\n", [0, 1, 2, 8]), ("1,3-4", [1, 3, 4])]
)
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert parse_cpus(text) == frozenset(cpus)


def test_where_a_gpu_sits_is_read_from_sysfs(tmp_path: Path) -> None:
    pci = pci_address("00000000:3B:00.0")
    assert pci == "0000:3b:00.0"
    device = tmp_path / "sys/bus/pci/devices" / pci
    device.mkdir(parents=True)
    (device / "numa_node").write_text("1\n")
    (device / "local_cpulist").write_text("0-3\n")
    assert numa_node(tmp_path, pci) == 1
    assert cpu_affinity(tmp_path, pci) == {0, 1, 2, 3}


@pytest.mark.parametrize("text", ["-1\n", "", "x"])
def test_a_node_that_the_firmware_does_not_say(tmp_path: Path, text: str) -> None:
    device = tmp_path / "sys/bus/pci/devices/p"
    device.mkdir(parents=True)
    (device / "numa_node").write_text(text)
    (device / "local_cpulist").write_text("a-b")
    assert numa_node(tmp_path, "p") is None
    assert cpu_affinity(tmp_path, "p") == frozenset()
    assert numa_node(tmp_path, "absent") is None


def test_a_machine_as_the_scheduler_sees_it(machine: Machine, short_path: Path) -> None:
    found = look(machine, short_path)
    able = {one["mechanism"]: one["reason"] for one in found["capabilities"]}
    assert [gpu["name"] for gpu in found["gpus"]] == ["NVIDIA H200"]
    assert able["mps"] == able["timeslice"] == able["exclusive"] == ""
    assert able["driver-limit"].startswith("driver 580 has no memory limits")
    assert found["context"] == {"GPU-x": 5}


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
def test_a_newer_driver_limits_control_groups(machine: Machine, short_path: Path) -> None:
    found = look(machine, short_path)
    (reason,) = [
        one["reason"] for one in found["capabilities"] if one["mechanism"] == "driver-limit"
    ]
    probe = machine.python(
        "from gpushare.hardware.linux.cgroups import FsCgroups; import os; c = FsCgroups();"
        "print(os.geteuid() == 0 and c.version == 2 and not c.reason())"
    )
    assert (reason == "") is (probe.stdout.strip() == "True"), reason


def test_a_machine_without_a_driver_has_no_gpus(short_path: Path) -> None:
    found = look(Machine("none", clean_environment()), short_path)
    assert found["gpus"] == []
    assert {one["available"] for one in found["capabilities"]} == {False}


ASKED = """
import json, sys
from collections import Counter
from pathlib import Path
from gpushare.hardware.host import Host
host = Host.open(Path(sys.argv[1]))
host.machine()
asked, get = Counter(), host.nvml.get
host.nvml.get = lambda name, *rest, **more: (asked.update([name]), get(name, *rest, **more))[1]
host.machine()
print(json.dumps(asked))
"""


@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_each_gpu_is_asked_once_for_a_look_at_the_machine(
    machine: Machine, short_path: Path
) -> None:
    done = machine.python(ASKED, str(short_path))
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)
    assert asked["nvmlDeviceGetUtilizationRates"] == 8
    assert "nvmlDeviceGetNvLinkState" not in asked, "links do not change while the GPUs are there"
