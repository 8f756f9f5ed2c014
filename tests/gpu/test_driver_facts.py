# SPDX-License-Identifier: Apache-2.0
"""What the guard's accounting takes for granted of the real driver."""

import msgspec
import pytest

from gpushare.model.units import MIB
from gpushare.model.verification import ProbeReport
from support.machine import NATIVE, real

pytestmark = pytest.mark.gpu
PROBE = NATIVE / "probe" / "gpushare-probe"
COST = """
import ctypes
from ctypes import byref, c_size_t, c_uint64, c_void_p
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    assert result == 0, (name, result)
def free():
    value, total = c_size_t(), c_size_t()
    call("cuMemGetInfo_v2", byref(value), byref(total))
    return value.value
context, second = c_void_p(), c_void_p()
call("cuInit", 0)
call("cuDevicePrimaryCtxRetain", byref(context), 0)
call("cuCtxSetCurrent", context)
"""
SIZES = """
for size, count in ((512, 64), (1 << 20, 64), ((1 << 20) + 1, 8), (3 << 20, 8), (64 << 20, 2)):
    before = free()
    pointers = [c_uint64() for _ in range(count)]
    for pointer in pointers:
        call("cuMemAlloc_v2", byref(pointer), c_size_t(size))
    taken = before - free()
    for pointer in pointers:
        call("cuMemFree_v2", pointer)
    print(size, count, taken, before - free())
"""
CONTEXTS = """
before = free()
call("cuCtxCreate_v2", byref(second), 0, 0)
call("cuCtxSetCurrent", context)
print(before - free())
"""


def page_model(size: int, count: int) -> int:
    """Blocks above 1 MiB have pages of 2 MiB to themselves; others share them."""
    page = 2 * MIB
    if size > MIB:
        return count * -(-size // page) * page
    return -(-size * count // page) * page


def test_blocks_take_the_pages_that_the_guard_charges() -> None:
    done = real().python(COST + SIZES)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        size, count, taken, kept = map(int, line.split())
        assert taken == page_model(size, count), (size, count)
        assert kept == 0


def test_a_second_context_costs_as_much_as_the_first() -> None:
    first = real().run(PROBE, "--context-only")
    second = real().python(COST + CONTEXTS)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    cost = msgspec.json.decode(first.stdout, type=ProbeReport).devices[0].context
    assert cost is not None
    assert abs(int(second.stdout) - cost) < 32 * MIB
