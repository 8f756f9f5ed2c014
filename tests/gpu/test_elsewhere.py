# SPDX-License-Identifier: Apache-2.0
"""What moving a share takes for granted of the real driver; needs two GPUs of one model.

Open until it is run: whether a program that was shown one GPU only can be restored on
another, and by which map.
"""

import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from support.cuda_memory import CUDA_MEMORY
from support.machine import Machine, real

pytestmark = pytest.mark.gpu
PROGRAM = (
    CUDA_MEMORY
    + """
size = 256 << 20
at = fill(size, 7)
call("cuCtxSynchronize")
print("ready", flush=True)
sys.stdin.readline()
check(at, size, 7)
call("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(size))
print("same", flush=True)
sys.stdin.readline()
"""
)
MOVE = """
import sys
from gpushare.hardware.nvidia.checkpoint import CudaCheckpoints
driver, pid, old, new = CudaCheckpoints(), int(sys.argv[1]), *sys.argv[2:]
assert not driver.remaps(), driver.remaps()
driver.lock(pid, 30)
driver.checkpoint(pid)
try:
    driver.restore(pid, {old: new})
except Exception:
    driver.restore(pid)
    raise
finally:
    driver.unlock(pid)
"""
LIST = ["nvidia-smi", "--query-gpu=name,uuid", "--format=csv,noheader"]
APPS = ["nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader"]


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    """Two GPUs of one model."""
    rows = [line.split(", ") for line in real().run(*LIST).stdout.splitlines()]
    name, count = Counter(name for name, _ in rows).most_common(1)[0]
    if count < 2:
        pytest.skip("needs two GPUs of one model")
    first, second = [uuid for model, uuid in rows if model == name][:2]
    return first, second


@pytest.fixture(params=["all", "one"])
def process(
    request: pytest.FixtureRequest, pair: tuple[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """On the first of them, with all GPUs visible or only that one."""
    shown = ",".join(pair) if request.param == "all" else pair[0]
    env = {"CUDA_VISIBLE_DEVICES": shown}
    found = real().start("python3", "-c", PROGRAM, env=env, stdin=subprocess.PIPE)
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    yield found
    found.kill()
    found.communicate(timeout=30)


def test_a_program_continues_with_its_memory_on_another_gpu(
    pair: tuple[str, str], process: "subprocess.Popen[str]"
) -> None:
    machine: Machine = real()
    moved = machine.python(MOVE, str(process.pid), *pair, timeout=120)
    assert moved.returncode == 0, moved.stderr
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "same\n", process.communicate()[1]
    where = dict(line.split(", ") for line in machine.run(*APPS).stdout.splitlines())
    assert where.get(str(process.pid), pair[1]) == pair[1]
