# SPDX-License-Identifier: Apache-2.0
"""PyTorch's build for CUDA, unmodified, on the simulated machine and in a share of it.

The packages take 5.4 GiB on disk, so this is part of the long tier. Kernels compute nothing there,
so none of their results is checked.
"""

import json
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import Machine
from support.packages import environment

pytestmark = pytest.mark.slow
GIB = 1 << 30
MIB = 1 << 20

PROGRAM = """
import json, sys
import torch

def refused(size: int) -> str:
    try:
        torch.empty(size, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError:
        return "OutOfMemoryError"
    return "allocated"

def train() -> int:
    layers = torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
    model = torch.nn.Sequential(*layers).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.zeros(8, 64, device="cuda")).sum().backward()
        optimizer.step()
    return len(optimizer.state_dict()["param_groups"][0]["params"])

def in_order() -> bool:
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        first.record()
        torch.zeros(1 << 20, device="cuda").add_(1)
        last.record()
    stream.wait_event(last)
    torch.cuda.synchronize()
    return last.query() and first.elapsed_time(last) > 0

def replay() -> bool:
    graph, ones = torch.cuda.CUDAGraph(), torch.ones(10, device="cuda")
    with torch.cuda.graph(graph):
        ones.add_(1)
    graph.replay()
    torch.cuda.synchronize()
    return True

free, total = torch.cuda.mem_get_info()
block = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
print(json.dumps({
    "available": torch.cuda.is_available(),
    "devices": torch.cuda.device_count(),
    "name": torch.cuda.get_device_name(0),
    "processors": torch.cuda.get_device_properties(0).multi_processor_count,
    "total": total,
    "taken": free - torch.cuda.mem_get_info()[0],
    "zeros": torch.zeros(1000, device="cuda").cpu().sum().item(),
    "copied": torch.arange(4).cuda().cpu().tolist(),
    "in order": in_order(),
    "parameters": train(),
    "replayed": replay(),
    "too much": refused(total),
    "fits": refused(64 << 20),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("pytorch"), "torch", "numpy")


WORKS = {
    "available": True,
    "devices": 1,
    "name": "NVIDIA H200",
    "processors": 132,
    "zeros": 0.0,
    "copied": [0, 1, 2, 3],
    "in order": True,
    "parameters": 4,
    "replayed": True,
    "too much": "OutOfMemoryError",
    "fits": "allocated",
}


def test_pytorch_works_on_the_simulated_machine(machine: Machine, python: Path) -> None:
    done = machine.run(python, "-c", PROGRAM, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert 139 * GIB < seen.pop("total") < 140 * GIB
    assert 256 * MIB <= seen.pop("taken") < 512 * MIB
    assert seen == WORKS


def test_a_share_limits_pytorch(daemon: Daemon, python: Path) -> None:
    done = daemon.gpushare("run", "-m", "2GiB", "--", python, "-c", PROGRAM, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("total") == 2 * GIB
    assert 256 * MIB <= seen.pop("taken") < 512 * MIB
    assert seen == WORKS
