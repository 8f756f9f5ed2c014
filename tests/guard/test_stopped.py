# SPDX-License-Identifier: Apache-2.0
"""A program that is stopped at any moment holds up no other program of its share."""

import random
import signal
import sys
import time

import pytest

from gpushare.model.units import MIB

STOPS = 12

ASK = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
assert not cuda.cuInit(0)
assert not cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
assert not cuda.cuCtxSetCurrent(context)
assert not cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
assert not cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(1 << 20))
assert cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(total.value)) == 2
small = ctypes.c_size_t(4 << 20)
print(free.value)
"""
LOOPS = {
    "asks": "cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))",
    "allocates": "cuda.cuMemAlloc_v2(ctypes.byref(at), small); cuda.cuMemFree_v2(at)",
}


@pytest.mark.parametrize("what", LOOPS)
def test_a_stopped_program_holds_up_no_other(guarded, what: str) -> None:
    share = guarded(600 * MIB, context=100 * MIB)
    source = ASK.replace("print(free.value)", 'print("loops", flush=True)')
    loop = share.machine.start(
        sys.executable, "-c", f"{source}\nwhile True:\n    {LOOPS[what]}\n", env=share.environment
    )
    try:
        assert loop.stdout.readline() == "loops\n"
        chance = random.Random(7)
        for _ in range(STOPS):
            time.sleep(chance.uniform(0.001, 0.01))
            loop.send_signal(signal.SIGSTOP)
            asked = share.python(ASK)
            assert asked.returncode == 0, asked.stderr
            loop.send_signal(signal.SIGCONT)
    finally:
        loop.kill()
        loop.communicate(timeout=60)
    assert share.gpu.used <= share.gpu.limit
