# SPDX-License-Identifier: Apache-2.0
"""Other people's tools, unmodified, see the simulated machine and our shares on it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.program import training

pytestmark = pytest.mark.system
BIN = Path(sys.executable).parent
GIB = 1 << 30
MIB = 1 << 20

SEEN_BY_NVML = """
import json, pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
processes = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
print(json.dumps({
    "name": pynvml.nvmlDeviceGetName(gpu),
    "total": memory.total,
    "used": memory.used,
    "processes": {process.pid: process.usedGpuMemory for process in processes},
}))
"""


@pytest.fixture
def pid(daemon: Daemon) -> Iterator[int]:
    """A program with 2 GiB in a share of 3 GiB."""
    with training(daemon, "--name", "job", "-m", "3GiB") as process:
        yield process.pid


def test_nvidia_ml_py_sees_the_memory_of_a_share(daemon: Daemon, pid: int) -> None:
    done = daemon.machine.python(SEEN_BY_NVML)
    seen = json.loads(done.stdout)
    assert seen["name"] == "NVIDIA H200"
    assert 2 * GIB < seen["processes"][str(pid)] <= 3 * GIB
    assert seen["used"] >= seen["processes"][str(pid)]


def test_nvidia_ml_py_inside_a_share_sees_the_share(daemon: Daemon) -> None:
    done = daemon.gpushare("run", "-m", "3GiB", "--", sys.executable, "-c", SEEN_BY_NVML)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"] == 3 * GIB


def test_nvitop_lists_the_process(daemon: Daemon, pid: int) -> None:
    done = daemon.machine.run(BIN / "nvitop", "--once")
    assert done.returncode == 0, done.stderr
    assert "H200" in done.stdout
    assert str(pid) in done.stdout


def test_nvitop_reports_the_memory_of_the_process(daemon: Daemon, pid: int) -> None:
    source = (
        "import json, nvitop; d, = nvitop.Device.all();"
        "print(json.dumps({p: q.gpu_memory() for p, q in d.processes().items()}))"
    )
    done = daemon.machine.python(source)
    assert done.returncode == 0, done.stderr
    assert 2 * GIB < json.loads(done.stdout)[str(pid)] <= 3 * GIB


def test_gpustat_reports_the_process(daemon: Daemon, pid: int) -> None:
    done = daemon.machine.run(BIN / "gpustat", "--json")
    assert done.returncode == 0, done.stderr
    [gpu] = json.loads(done.stdout)["gpus"]
    [process] = [each for each in gpu["processes"] if each["pid"] == pid]
    assert 2 * GIB < process["gpu_memory_usage"] * MIB <= 3 * GIB


@pytest.mark.parametrize("machine", ["dgx-h100", "a10-2", "a100-mig", "l4-vgpu"], indirect=True)
def test_every_profile_satisfies_the_tools(machine) -> None:
    for tool in (["nvitop", "--once"], ["gpustat", "--json"]):
        done = machine.run(BIN / tool[0], *tool[1:])
        assert done.returncode == 0, done.stderr
        assert "N/A (" not in done.stderr
