# SPDX-License-Identifier: Apache-2.0
"""nvidia-ml-py, unmodified, on the simulated machine."""

import json

import pytest

from support.machine import Machine

pytestmark = pytest.mark.contract

PROCESSES = """
import json, pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
print(json.dumps({
    "used": n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2).used,
    "compute": {p.pid: p.usedGpuMemory for p in n.nvmlDeviceGetComputeRunningProcesses(h)},
    "mps": [p.pid for p in n.nvmlDeviceGetMPSComputeRunningProcesses(h)],
    "graphics": [p.pid for p in n.nvmlDeviceGetGraphicsRunningProcesses(h)],
    "busy": n.nvmlDeviceGetUtilizationRates(h).gpu,
}))
"""

SAMPLES = """
import json, pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
try: print(json.dumps({s.pid: s.smUtil for s in n.nvmlDeviceGetProcessUtilization(h, 0)}))
except n.NVMLError_NotFound: print("{}")
"""


def look(machine: Machine, source: str = PROCESSES) -> dict:
    done = machine.python(source)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_process_is_listed_with_its_memory(machine: Machine, hold):
    one, other = hold(1024), hold(3000)

    found = look(machine)

    assert found["compute"].keys() == {str(one.pid), str(other.pid)}
    assert found["used"] == sum(found["compute"].values())
    context = found["compute"][str(one.pid)] - (1024 << 20)
    assert found["compute"][str(other.pid)] == (3000 << 20) + context
    assert found["mps"] == found["graphics"] == []


def test_a_killed_process_gives_its_memory_back(machine: Machine, hold):
    process = hold(1024)
    process.kill()
    process.wait()

    assert look(machine)["compute"] == {}
    assert look(machine)["used"] == 0


def test_work_shows_as_utilisation_of_the_gpu_and_of_its_process(machine: Machine, hold, until):
    busy = hold(1024, busy=True)
    idle = hold(512)

    until(lambda: look(machine)["busy"] > 20, "the GPU to look busy")
    samples = look(machine, SAMPLES)

    assert samples[str(busy.pid)] > 20
    assert str(idle.pid) not in samples


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_memory_is_charged_to_the_gpu_it_lies_on(machine: Machine, hold):
    hold(2048, gpu=1)

    assert look(machine)["used"] == 0


def test_mps_clients_are_listed_as_such_next_to_their_server(machine: Machine, hold):
    assert machine.run("nvidia-cuda-mps-control", "-d").returncode == 0
    client = hold(1024)

    found = look(machine)

    assert found["mps"] == [client.pid]
    assert str(client.pid) in found["compute"]
    (server,) = found["compute"].keys() - {str(client.pid)}
    asked = machine.run("sh", "-c", "echo get_server_list | nvidia-cuda-mps-control")
    assert asked.stdout == f"{server}\n"


@pytest.mark.parametrize("machine", ["a100-mig"], indirect=True)
def test_a_process_on_a_mig_instance_is_listed_with_its_instance(machine: Machine, hold):
    source = (
        "import json, pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "print(json.dumps([[p.pid, p.gpuInstanceId, p.computeInstanceId]"
        "                  for p in n.nvmlDeviceGetComputeRunningProcesses(h)]))"
    )
    uuid = machine.python(
        "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "print(n.nvmlDeviceGetUUID(n.nvmlDeviceGetMigDeviceHandleByIndex(h, 1)))"
    ).stdout.strip()

    process = hold(1024, env={"CUDA_VISIBLE_DEVICES": uuid})

    assert json.loads(machine.python(source).stdout) == [[process.pid, 2, 0]]
