# SPDX-License-Identifier: Apache-2.0
"""What monitoring tools see from inside a share and from outside."""

import json
import subprocess
import sys

from gpushare.model.units import MIB

TOOL = """
import json, pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
one = pynvml.nvmlDeviceGetMemoryInfo(gpu)
two = pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2)
names = ("total", "free", "used")
print(json.dumps({
    "v1": [getattr(one, name) for name in names],
    "v2": [getattr(two, name) for name in names],
    "reserved": two.reserved,
    "processes": len(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
}))
"""


def test_nvml_shows_the_share_inside_and_the_card_outside(guarded) -> None:
    share = guarded(256 * MIB)
    inside = json.loads(share.python(TOOL).stdout)
    outside = json.loads(share.machine.python(TOOL).stdout)
    assert inside["v1"] == inside["v2"] == [share.gpu.limit, share.gpu.limit, 0]
    assert inside["reserved"] == 0
    assert inside["processes"] == outside["processes"] == 0
    assert outside["v1"][0] > 100 * 1024 * MIB


def test_nvml_counts_what_the_share_holds(guarded, native_test) -> None:
    share = guarded(2000 * MIB, context=500 * MIB)
    holder = share.start(native_test("stress_test"), "1")
    assert holder.stdout.readline() == "fights\n"
    seen = json.loads(share.python(TOOL).stdout)
    holder.kill()
    holder.communicate(timeout=120)
    total, free, used = seen["v1"]
    assert total == share.gpu.limit == free + used
    assert used >= share.gpu.context
    assert seen["processes"] == 1


def test_a_driver_that_is_missing_stays_missing(guarded) -> None:
    """Our exports must not look like a driver to a program that asks the global scope."""
    share = guarded(256 * MIB)
    source = """
import ctypes
here = ctypes.CDLL(None)
for name in ("cuMemAlloc_v2", "cuInit", "nvmlDeviceGetMemoryInfo"):
    assert not hasattr(here, name), name
"""
    ran = share.python(source, env={"LD_LIBRARY_PATH": ""})
    assert ran.returncode == 0, ran.stderr


BOTH = """
import ctypes, json, pynvml, sys
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
assert not cuda.cuInit(0)
assert not cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
assert not cuda.cuCtxSetCurrent(context)
assert not cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(int(sys.argv[1])))
assert not cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
pynvml.nvmlInit()
seen = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
print(json.dumps([free.value, seen.free, total.value, seen.total, seen.used]), flush=True)
sys.stdin.read()
"""


def _memory(ended: subprocess.CompletedProcess[str]) -> list[int]:
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_cuda_and_nvml_say_the_same_free_memory_next_to_others_outside_the_share(guarded) -> None:
    """The smaller of what the share and what the card has left."""
    share = guarded(40_000 * MIB, context=500 * MIB)
    own = [sys.executable, "-c", BOTH]
    free, nvml_free, total, nvml_total, used = _memory(share.run(*own, str(MIB)))
    assert free == nvml_free > 39_000 * MIB
    with share.machine.start(*own, str(120_000 * MIB), stdin=subprocess.PIPE) as outside:
        assert outside.stdout.readline()
        free, nvml_free, total, nvml_total, used = _memory(share.run(*own, str(MIB)))
        outside.stdin.close()
    assert free == nvml_free < 25_000 * MIB
    assert total == nvml_total == share.gpu.limit == nvml_free + used
