# SPDX-License-Identifier: Apache-2.0
"""CuPy, unmodified, on the simulated machine and in a share of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.machine import Machine
from support.packages import environment

pytestmark = pytest.mark.system
GIB = 1 << 30
PACKAGES = ("cupy-cuda12x>=13", "nvidia-cuda-runtime-cu12", "nvidia-cuda-nvrtc-cu12")

PROGRAM = """
import json
import cupy

def refused() -> bool:
    try:
        cupy.empty(1 << 40, dtype="u1")
    except cupy.cuda.memory.OutOfMemoryError:
        return True
    return False

stream, first, last = cupy.cuda.Stream(), cupy.cuda.Event(), cupy.cuda.Event()
with stream:
    first.record()
    zeros = cupy.zeros(1000)
    kernel = cupy.RawKernel('extern "C" __global__ void f(double *x) { x[0] = 1; }', "f")
    kernel((1,), (1,), (zeros,))
    pooled = cupy.cuda.malloc_async(1 << 20)
    last.record()
stream.synchronize()
print(json.dumps({
    "name": cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(),
    "total": cupy.cuda.runtime.memGetInfo()[1],
    "free": cupy.cuda.runtime.memGetInfo()[0],
    "zeros": float(zeros.get().sum()),
    "copied": cupy.asarray([1, 2, 3]).get().tolist(),
    "shape": (cupy.arange(10) + 1).shape,
    "in order": cupy.cuda.get_elapsed_time(first, last) > 0,
    "refused": refused(),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("cupy"), *PACKAGES)


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """Compiled kernels of one test are not found by the next."""
    return {"CUPY_CACHE_DIR": str(tmp_path)}


def check(seen: dict[str, Any], total: int) -> None:
    assert abs(seen.pop("total") - total) < GIB
    assert 0 < seen.pop("free") < total
    assert seen == {
        "name": "NVIDIA H200",
        "zeros": 0.0,
        "copied": [1, 2, 3],
        "shape": [10],
        "in order": True,
        "refused": True,
    }


def test_cupy_works_on_the_simulated_machine(
    machine: Machine, python: Path, cache: dict[str, str]
) -> None:
    done = machine.run(python, "-c", PROGRAM, env=cache, timeout=300)
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout), 140 * GIB)


def test_a_share_limits_cupy(daemon: Daemon, python: Path, cache: dict[str, str]) -> None:
    command = ("run", "-m", "2GiB", "--", python, "-c", PROGRAM)
    done = daemon.gpushare(*command, env=cache, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["total"] == 2 * GIB
    check(seen, 2 * GIB)
