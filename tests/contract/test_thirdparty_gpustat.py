# SPDX-License-Identifier: Apache-2.0
"""gpustat, unmodified, on the simulated machine."""

import json
import sys

import pytest

from support.machine import Machine

pytestmark = pytest.mark.contract


def test_gpustat_shows_gpus_and_who_holds_their_memory(machine: Machine, hold):
    process = hold(2048)

    done = machine.run(sys.executable, "-m", "gpustat", "--json")

    assert done.returncode == 0, done.stderr
    (gpu,) = json.loads(done.stdout)["gpus"]
    assert gpu["name"] == "NVIDIA H200"
    assert gpu["memory.total"] == 143771
    (listed,) = gpu["processes"]
    assert listed["pid"] == process.pid
    assert listed["gpu_memory_usage"] == gpu["memory.used"] >= 2048


@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_gpustat_shows_a_whole_dgx(machine: Machine):
    done = machine.run(sys.executable, "-m", "gpustat", "--no-color")

    assert done.stdout.count("NVIDIA H100 80GB HBM3") == 8, done.stderr


def test_gpustat_says_that_there_is_no_driver(machine: Machine):
    done = machine.run(sys.executable, "-m", "gpustat", env={"GPUSHARE_SIM_MACHINE": ""})

    assert done.returncode != 0
    assert "driver" in (done.stdout + done.stderr).lower()
