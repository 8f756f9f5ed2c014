# SPDX-License-Identifier: Apache-2.0
"""A CUDA program without CUDA's headers: does what it reads on stdin, answers JSON on stdout.

`look` → memory and multiprocessors it sees; `take MIB` → allocates 64 MiB pieces until it has that
much or is refused; `touch` → any call on its memory. Results are CUresult numbers, 0 is success.
"""

import ctypes
import json
import sys

PIECE = 64 << 20
MULTIPROCESSORS = 16
cuda = ctypes.CDLL("libcuda.so.1")


def call(name: str, *args: object) -> int:
    return getattr(cuda, name)(*args)


def say(answer: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def start() -> int:
    device, context = ctypes.c_int(), ctypes.c_void_p()
    return (
        call("cuInit", 0)
        or call("cuDeviceGet", ctypes.byref(device), 0)
        or call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        or call("cuCtxSetCurrent", context)
    )


def look() -> dict[str, int]:
    free, total, units = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_int()
    result = call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    call("cuDeviceGetAttribute", ctypes.byref(units), MULTIPROCESSORS, 0)
    return {"result": result, "free": free.value, "total": total.value, "units": units.value}


def take(pieces: list[ctypes.c_uint64], mib: int) -> dict[str, int]:
    result = 0
    while len(pieces) * PIECE < mib << 20 and not result:
        piece = ctypes.c_uint64()
        result = call("cuMemAlloc_v2", ctypes.byref(piece), ctypes.c_size_t(PIECE))
        if not result:
            pieces.append(piece)
    return {"result": result, "held": len(pieces) * PIECE}


def touch(pieces: list[ctypes.c_uint64]) -> dict[str, int]:
    zero = ctypes.c_ubyte(0)
    result = call("cuMemsetD8_v2", pieces[0], zero, ctypes.c_size_t(4096))
    return {"result": result or call("cuCtxSynchronize")}


def main() -> None:
    pieces: list[ctypes.c_uint64] = []
    say({"result": start()})
    for line in sys.stdin:
        verb, *rest = line.split()
        answers = {"look": look, "touch": lambda: touch(pieces)}
        answer = take(pieces, int(rest[0])) if verb == "take" else answers[verb]()
        say(answer)


main()
