# SPDX-License-Identifier: Apache-2.0
"""python -m benchmarks.memory_info [RESULT]: what asking for free memory costs in a share.

cuMemGetInfo in a loop, next to 0 and to 30 other programs, without the guard (`driver_1_us`,
`driver_31_us`) and in one share (`share_…`). On a simulated GPU; all figures include the call
through ctypes. Goal: a few microseconds more than without the guard, with any number of programs.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.ci_result import circumstances, save, target

from gpushare.guard import Flag, Region, RegionGrant, library_path
from gpushare.hardware.simulated import machine
from gpushare.model.ids import GpuId
from gpushare.model.units import GIB, Bytes

RESULT = Path(__file__).parent / "results" / "ci" / "memory_info.json"
PROFILE = "h200-1"
PROGRAMS = (1, 31)
CALLS = 20_000

# With an argument it measures so many calls and prints microseconds per call; else it waits.
PROGRAM = """
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
context, block = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(1 << 20)) == 0
arguments = ctypes.byref(free), ctypes.byref(total)
calls = int(sys.argv[1]) if len(sys.argv) > 1 else 0
begin = time.perf_counter()
for _ in range(calls):
    cuda.cuMemGetInfo_v2(*arguments)
print((time.perf_counter() - begin) / max(1, calls) * 1e6, flush=True)
if not calls:
    sys.stdin.read()
"""
UUID = """
import pynvml
pynvml.nvmlInit()
print(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)))
"""


def _run(source: str, env: Mapping[str, str], *arguments: str) -> str:
    words = [sys.executable, "-c", source, *arguments]
    return subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout


def _measure(env: Mapping[str, str]) -> float:
    """Microseconds per call, the best of three."""
    return round(min(float(_run(PROGRAM, env, str(CALLS))) for _ in range(3)), 2)


def _among(env: Mapping[str, str], programs: int, stack: ExitStack) -> float:
    """`programs` have memory, the one that asks included."""
    for _ in range(programs - 1):
        words = [sys.executable, "-c", PROGRAM]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = stack.enter_context(subprocess.Popen(words, env=env, **pipes))
        stack.callback(process.kill)
        assert process.stdout is not None
        process.stdout.readline()
    return _measure(env)


def main() -> int:
    result = target(__doc__, RESULT)
    figures: dict[str, object] = {"calls": CALLS}
    with machine(PROFILE) as made, tempfile.TemporaryDirectory(prefix="gs-") as folder:
        env = made.environment()
        gpu = GpuId(_run(UUID, env).strip())
        for programs in PROGRAMS:
            with ExitStack() as stack:
                figures[f"driver_{programs}_us"] = _among(env, programs, stack)
            path = Path(folder) / f"region{programs}"
            region = Region.create(path, [RegionGrant(uuid=gpu, limit=Bytes(100 * GIB))])
            region.set_flags(Flag.MOVABLE)  # as the daemon does
            inside = {**env, "LD_PRELOAD": str(library_path()), "GPUSHARE_REGION": str(path)}
            with ExitStack() as stack:
                figures[f"share_{programs}_us"] = _among(inside, programs, stack)
    save({**circumstances("benchmarks.memory_info", profile=PROFILE), **figures}, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
