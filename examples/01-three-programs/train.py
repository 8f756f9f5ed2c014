#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training-like program on the bare CUDA driver API: allocate, then launch kernels in steps.

    train.py --memory 6GiB --steps 200       allocates 6 GiB, then works
    train.py --memory all                    takes all memory it can get, then works
    train.py --steps 0                       works until it is ended, or the pipe on standard input
                                             closes

It needs no package and knows nothing of gpushare; what it prints is what any CUDA program sees.
"""

import argparse
import ctypes
import os
import select
import stat
import sys
import time
from typing import TextIO

GIB = 1 << 30
CHUNK = 256 << 20
CUDA_ERROR_OUT_OF_MEMORY = 2

# `%globaltimer` counts nanoseconds on the device.
SPIN = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry spin(.param .u64 nanoseconds)
{
    .reg .pred %more;
    .reg .u64 %limit, %start, %now;
    ld.param.u64 %limit, [nanoseconds];
    mov.u64 %start, %globaltimer;
again:
    mov.u64 %now, %globaltimer;
    sub.u64 %now, %now, %start;
    setp.lt.u64 %more, %now, %limit;
    @%more bra again;
    ret;
}
"""


class CudaError(Exception):
    def __init__(self, code: int, name: str, call: str) -> None:
        super().__init__(f"{call}: {name}")
        self.code = code
        self.name = name


class Cuda:
    """One context on the first visible GPU."""

    def __init__(self) -> None:
        self.driver = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.call("cuCtxSetCurrent", self.context)

    def call(self, function: str, *arguments: object) -> None:
        code = getattr(self.driver, function)(*arguments)
        if code:
            name = ctypes.c_char_p()
            self.driver.cuGetErrorName(code, ctypes.byref(name))
            raise CudaError(code, (name.value or b"?").decode(), function)

    def memory(self) -> tuple[int, int]:
        """Free and total bytes, as cuMemGetInfo says."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> None:
        pointer = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size))

    def kernel(self, ptx: bytes, name: bytes) -> ctypes.c_void_p:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(ptx))
        self.call("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(name))
        return function

    def launch(self, kernel: ctypes.c_void_p, nanoseconds: int) -> None:
        """One kernel of one thread, and wait for its end."""
        value = ctypes.c_uint64(nanoseconds)
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(value))
        self.call("cuLaunchKernel", kernel, 1, 1, 1, 1, 1, 1, 0, None, parameters, None)
        self.call("cuCtxSynchronize")


def gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"


def take(cuda: Cuda, wanted: int | None) -> int:
    """Allocate in chunks until `wanted` (None: everything) is reached; bytes got."""
    got = 0
    while wanted is None or got < wanted:
        try:
            cuda.allocate(CHUNK if wanted is None else min(CHUNK, wanted - got))
        except CudaError as error:
            if error.code != CUDA_ERROR_OUT_OF_MEMORY:
                raise
            print(f"refused after {gib(got)}: {error}")
            return got
        got += CHUNK if wanted is None else min(CHUNK, wanted - got)
    print(f"allocated {gib(got)}")
    return got


def train(cuda: Cuda, steps: int, step_ms: float) -> None:
    kernel = cuda.kernel(SPIN, b"spin")
    begun = time.monotonic()
    done = 0
    while done < steps or (steps == 0 and not ended(sys.stdin)):
        cuda.launch(kernel, int(step_ms * 1e6))
        done += 1
    print(f"{done} steps in {time.monotonic() - begun:.1f} s")


def ended(stream: TextIO) -> bool:
    """Whether it is a pipe whose other end was closed."""
    return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode) and bool(
        select.select([stream], [], [], 0)[0]
    )


def size(text: str) -> int | None:
    if text == "all":
        return None
    return int(float(text.removesuffix("GiB")) * GIB)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--memory", type=size, default=GIB, help="6GiB, or all")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--step-ms", type=float, default=5.0)
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    cuda = Cuda()
    print(f"sees {gib(cuda.memory()[1])} of GPU memory")
    got = take(cuda, options.memory)
    train(cuda, options.steps, options.step_ms)
    return 0 if options.memory is None or got == options.memory else 1


if __name__ == "__main__":
    sys.exit(main())
