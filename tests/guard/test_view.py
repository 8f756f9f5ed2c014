# SPDX-License-Identifier: Apache-2.0
"""What monitoring tools see from inside a share and from outside."""

import json

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
    holder.communicate(timeout=20)
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
