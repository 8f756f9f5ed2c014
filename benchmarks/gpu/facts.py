# SPDX-License-Identifier: Apache-2.0
"""What requests really cost on the GPU, without the guard: the facts behind its accounting."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from ctypes import byref, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from . import machine
from .driver import PAGE, Cuda, CudaError, Requirements

MIB = 1 << 20


def _cost(cuda: Cuda, take: Callable[[], Any]) -> dict[str, Any]:
    before = cuda.memory()[0]
    try:
        take()
    except CudaError as error:
        return {"error": str(error)}
    return {"taken": before - cuda.memory()[0]}


def small_blocks(cuda: Cuda) -> list[dict[str, int]]:
    """How many bytes of card 64 requests of one size take."""
    table = []
    for size in (1, 512, 4096, 65536, 262144, MIB - 512, MIB, MIB + 512, 3 * MIB, 5 * MIB + 1):
        before = cuda.memory()[0]
        pointers = [cuda.alloc(size) for _ in range(64)]
        taken = before - cuda.memory()[0]
        for pointer in pointers:
            cuda.free(pointer)
        kept = before - cuda.memory()[0]
        table.append({"size": size, "count": 64, "taken": taken, "kept_after_free": kept})
    return table


def arrays(cuda: Cuda) -> list[dict[str, Any]]:
    """Sizes that are no whole pages, and whether the driver tells what an array needs."""
    table = []
    for width, height, depth in ((64, 64, 0), (1000, 1000, 0), (8192, 1024, 0), (200, 200, 200)):
        made: list[c_void_p] = []
        row = _cost(cuda, lambda w=width, h=height, d=depth, m=made: m.append(cuda.array(w, h, d)))
        row |= {"texels": [width, height, depth], "bytes": width * height * max(depth, 1) * 16}
        need = Requirements()
        if made:
            code = cuda.lib.cuArrayGetMemoryRequirements(byref(need), made[0], cuda.device)
            row |= {"requirements_code": code, "requirements": need.size}
            cuda("cuArrayDestroy", made[0])
        table.append(row)
    return table


def pools(cuda: Cuda) -> list[dict[str, int]]:
    """Reserved growth of a pool by request, and what trimming gives back."""
    table = []
    for size in (512, 3 * MIB, 40 * MIB, 100 * MIB + 1):
        before, pool = cuda.memory()[0], cuda.pool()
        pointer = cuda.alloc_async(size, pool)
        cuda("cuStreamSynchronize", None)
        row = {"size": size, "reserved": cuda.pool_reserved(pool)}
        row["taken"] = before - cuda.memory()[0]
        cuda.free_async(pointer)
        row["reserved_after_free"] = cuda.pool_reserved(pool)
        cuda("cuMemPoolDestroy", pool)
        row["kept_after_destroy"] = before - cuda.memory()[0]
        table.append(row)
    return table


def fragments(cuda: Cuda) -> dict[str, int]:
    """Whether a pool fits a block into free pieces that do not touch."""
    pool, piece = cuda.pool(), 96 * MIB
    cuda("cuMemPoolSetAttribute", pool, 4, byref(c_uint64(1 << 40)))
    blocks = [cuda.alloc_async(piece, pool) for _ in range(5)]
    full = cuda.pool_reserved(pool)
    for block in blocks[::2]:
        cuda.free_async(block)
    again = [cuda.alloc_async(size, pool) for size in (piece, 2 * piece)]
    found = {"reserved_by_5": full, "reserved_after_refill": cuda.pool_reserved(pool)}
    for block in (*blocks[1::2], *again):
        cuda.free_async(block)
    cuda("cuMemPoolDestroy", pool)
    return found


def release_lag(cuda: Cuda) -> dict[str, int]:
    """Bytes of use above 1 GiB while 1 GiB is freed and allocated again, by path."""
    ways = {
        "cuMemAlloc": (cuda.alloc, cuda.free),
        "cuMemCreate": (cuda.create, cuda.release),
        "cuMemAllocAsync": (cuda.alloc_async, cuda.free_async),
    }
    found = {}
    for name, (take, give) in ways.items():
        watch = machine.Watch()
        watch.start()
        for _ in range(100):
            blocks = [take(128 * MIB) for _ in range(8)]
            for block in blocks:
                give(block)
        watch.end()
        found[name] = watch.most - 1024 * MIB
    return found


def others(cuda: Cuda) -> dict[str, Any]:
    pointer, handle = c_uint64(), c_uint64()
    pitch = c_size_t()
    found: dict[str, Any] = {}
    found["pitch 1000x1000x4"] = _cost(
        cuda,
        lambda: cuda(
            "cuMemAllocPitch_v2", byref(pointer), byref(pitch), c_size_t(4000), c_size_t(1000), 4
        ),
    ) | {"pitch": pitch.value}
    cuda.free(pointer.value)
    found["managed 64 MiB, untouched"] = _cost(
        cuda, lambda: cuda("cuMemAllocManaged", byref(pointer), c_size_t(64 * MIB), c_uint(1))
    )
    cuda.free(pointer.value)
    found["cuMemCreate 2 MiB"] = _cost(cuda, lambda: setattr(handle, "value", cuda.create(PAGE)))
    cuda.release(handle.value)
    found["stream"] = _cost(cuda, lambda: cuda("cuStreamCreate", byref(c_void_p()), 0))
    found["second context"] = _cost(
        cuda, lambda: cuda("cuCtxCreate_v2", byref(c_void_p()), 0, cuda.device)
    )
    found["green context of 8 multiprocessors"] = _cost(cuda, lambda: green(cuda))
    return found


def green(cuda: Cuda) -> None:
    """CUdevResource is 144 bytes; its `sm.smCount` has to be left as the driver wrote it."""
    whole, part = (ctypes.create_string_buffer(144) for _ in range(2))
    cuda("cuDeviceGetDevResource", cuda.device, whole, 1)
    count, description, context = c_uint(1), c_void_p(), c_void_p()
    cuda("cuDevSmResourceSplitByCount", part, byref(count), whole, None, c_uint(0), c_uint(8))
    cuda("cuDevResourceGenerateDesc", byref(description), part, c_uint(1))
    cuda("cuGreenCtxCreate", byref(context), description, cuda.device, c_uint(1))


_CONTEXT = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.gpu import machine
from benchmarks.gpu.driver import Cuda
import ctypes, os
machine.first_gpu()
before = machine.card_used()
cuda = Cuda()
free, total = cuda.memory()
print(machine.card_used() - before, machine.process_used(os.getpid()) or -1, free, total)
"""


def context_cost() -> dict[str, int]:
    """One context: growth of the card's use, NVML's figure for the process, cuMemGetInfo then."""
    source = _CONTEXT.format(root=str(machine.ROOT))
    answer = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, **machine.selected()},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    names = ("card_growth", "process", "free", "total")
    return dict(zip(names, map(int, answer.stdout.split()), strict=True))


def measure() -> dict[str, Any]:
    machine.begin()
    before = context_cost()
    cuda = Cuda()
    listed = machine.process_used(os.getpid())
    return {
        "context": before,
        "process_with_context": listed,
        "cuMemGetInfo": cuda.memory(),
        "pointer_bytes": ctypes.sizeof(c_void_p),
        "cuMemAlloc": small_blocks(cuda),
        "arrays": arrays(cuda),
        "pools": pools(cuda),
        "pool_of_96_MiB_pieces": fragments(cuda),
        "release_lag": release_lag(cuda),
        "others": others(cuda),
    }
