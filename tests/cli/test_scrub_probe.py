# SPDX-License-Identifier: Apache-2.0
"""`gpushare-probe --scrub`: on a machine that clears memory, and on one that leaves it."""

import json

from support.machine import NATIVE, Machine

PROBE = NATIVE / "probe" / "gpushare-probe"
MIB = 1 << 20
# Writes a secret on the GPU and ends without freeing it, as a program that is killed does.
WRITES = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(8 << 20)) == 0
secret = b"secret!!" * (1 << 20)
assert cuda.cuMemcpyHtoD_v2(at, secret, ctypes.c_size_t(8 << 20)) == 0
"""


def scrub(machine: Machine, *options: str) -> dict[str, int]:
    done = machine.run(PROBE, "--scrub", f"--bytes={16 * MIB}", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (device,) = json.loads(done.stdout)["devices"]
    return {key: device[key] for key in ("allocated", "dirty", "filled", "proved")}


def test_what_a_program_left_is_found_and_gone_after_a_scrub(machine: Machine) -> None:
    machine.fault("residue=1")
    assert machine.python(WRITES).returncode == 0

    seen = scrub(machine, "--look-only")
    assert (seen["allocated"], seen["filled"]) == (16 * MIB, 0)
    assert seen["dirty"] == 8 * MIB

    cleaned = scrub(machine)
    assert cleaned["dirty"] == 8 * MIB
    assert cleaned["filled"] == cleaned["proved"] == 16 * MIB
    assert scrub(machine, "--look-only")["dirty"] == 0


def test_a_driver_that_clears_memory_leaves_nothing(machine: Machine) -> None:
    assert machine.python(WRITES).returncode == 0
    assert scrub(machine, "--look-only")["dirty"] == 0
