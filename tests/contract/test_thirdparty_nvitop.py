# SPDX-License-Identifier: Apache-2.0
"""nvitop, unmodified, on the simulated machine."""

import json
import sys

import pytest

from support.machine import Machine

pytestmark = pytest.mark.contract

API = """
import json, nvitop
(device,) = nvitop.Device.all()
print(json.dumps({
    "name": device.name(), "driver": device.driver_version(), "used": device.memory_used(),
    "limit": device.power_limit(), "mode": device.compute_mode(), "temp": device.temperature(),
    "processes": {p.pid: p.gpu_memory() for p in device.processes().values()},
}))
"""


def test_nvitop_shows_processes_and_their_memory(machine: Machine, hold):
    process = hold(2048)

    done = machine.python(API)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["name"] == "NVIDIA H200"
    assert found["mode"] == "Default"
    assert found["limit"] == 700_000
    assert found["processes"] == {str(process.pid): found["used"]}
    assert found["used"] >= 2048 << 20


def test_nvitops_screen_names_the_process(machine: Machine, hold):
    process = hold(2048)

    done = machine.run(sys.executable, "-m", "nvitop", "--once", env={"LINES": "50"})

    assert done.returncode == 0, done.stderr
    assert "Driver Version: 580.159.03" in done.stdout
    assert f" {process.pid} C " in done.stdout


@pytest.mark.parametrize("machine", ["a100-mig"], indirect=True)
def test_nvitop_shows_mig_instances(machine: Machine):
    done = machine.run(sys.executable, "-m", "nvitop", "--once")

    assert "3g.40gb @ GI/CI: 1/0" in done.stdout, done.stderr
    assert done.stdout.count("@ GI/CI:") == 4
