# SPDX-License-Identifier: Apache-2.0
"""Programs that use a GPU while a test looks on."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from support.machine import Machine

# Holds MIB on GPU, keeps it busy when asked to, says "ready" and ends with its standard input.
HOLDER = """
import ctypes, select, sys
mib, gpu, busy = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "busy"
PTX = (b".version 7.0\\n.target sm_70\\n.address_size 64\\n"
       b".visible .entry spin(.param .u64 ns) { .reg .pred %p; .reg .u64 %e, %s, %n;"
       b"ld.param.u64 %e, [ns]; mov.u64 %s, %globaltimer; a: mov.u64 %n, %globaltimer;"
       b"sub.u64 %n, %n, %s; setp.lt.u64 %p, %n, %e; @%p bra a; ret; }\\n")
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    assert result == 0, (name, result)
context, at, module, spin = (ctypes.c_void_p() for _ in range(4))
call("cuInit", 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), gpu)
call("cuCtxSetCurrent", context)
call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(mib << 20))
call("cuModuleLoadData", ctypes.byref(module), PTX)
call("cuModuleGetFunction", ctypes.byref(spin), module, b"spin")
length = ctypes.c_uint64(20_000_000)
parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(length), ctypes.c_void_p))
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0 if busy else None)[0]:
    call("cuLaunchKernel", spin, 1, 1, 1, 32, 1, 1, 0, None, parameters, None)
    call("cuCtxSynchronize")
"""

Hold = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hold(machine: Machine) -> Iterator[Hold]:
    """hold(mib, gpu=0, busy=False, env={}): a running program that has that much memory."""
    running: list[subprocess.Popen[str]] = []

    def start(
        mib: int, gpu: int = 0, *, busy: bool = False, env: Mapping[str, str] = {}
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(mib), str(gpu), "busy" if busy else "idle"],
            env={**machine.environment, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
