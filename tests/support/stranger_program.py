# SPDX-License-Identifier: Apache-2.0
"""A CUDA program that writes a mark to memory, or tries to get at what another program wrote.

Reads one command a line, answers JSON: `fill MIB` → the address of memory full of the mark; `free`;
`search MIB` → how many of its new bytes belong to the mark; `reach ADDRESS` → how many bytes of the
mark it reads there, before it writes zeros; `poke ADDRESS` → the result of a kernel that writes
there; `intact` → whether the mark is still there.
"""

import ctypes
import json
import sys

MARK = 0x5EC2E7A1
PIECE = 64 << 20
POKE = (
    b".version 7.0\n.target sm_70\n.address_size 64\n"
    b".visible .entry poke(.param .u64 at) { .reg .u64 %a; .reg .u32 %v; ld.param.u64 %a, [at];"
    b"mov.u32 %v, 1; st.global.u32 [%a], %v; ret; }\n"
)
cuda = ctypes.CDLL("libcuda.so.1")
held: list[tuple[ctypes.c_uint64, int]] = []


def must(name: str, *arguments: object) -> None:
    result = getattr(cuda, name)(*arguments)
    if result:
        raise RuntimeError(f"{name}: {result}")


def start() -> int:
    context = ctypes.c_void_p()
    must("cuInit", 0)
    must("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    must("cuCtxSetCurrent", context)
    return 0


def take(size: int) -> ctypes.c_uint64:
    at = ctypes.c_uint64()
    must("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(size))
    held.append((at, size))
    return at


def fill(mib: int) -> int:
    at = take(mib << 20)
    must("cuMemsetD32_v2", at, ctypes.c_uint(MARK), ctypes.c_size_t(mib << 18))
    must("cuCtxSynchronize")
    return at.value


def free() -> int:
    while held:
        must("cuMemFree_v2", held.pop()[0])
    return 0


def search(mib: int) -> int:
    word = MARK.to_bytes(4, "little")
    seen = (ctypes.c_ubyte * PIECE)()
    found = 0
    for _ in range((mib << 20) // PIECE):
        must("cuMemcpyDtoH_v2", seen, take(PIECE), ctypes.c_size_t(PIECE))
        found += bytes(seen).count(word) * len(word)
    return found


def reach(address: int) -> int:
    """Copies from there and writes there; the bytes of the mark that the copy found.

    The address may mean memory of this program: the driver gives each the same addresses.
    """
    there, size = ctypes.c_uint64(address), ctypes.c_size_t(4096)
    words = (ctypes.c_ubyte * 4096)()
    cuda.cuMemcpyDtoH_v2(words, there, size)
    found = bytes(words).count(MARK.to_bytes(4, "little")) * 4
    cuda.cuMemcpyHtoD_v2(there, bytes(4096), size)
    cuda.cuMemsetD8_v2(there, ctypes.c_ubyte(0), size)
    cuda.cuCtxSynchronize()
    return found


def poke(address: int) -> int:
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    must("cuModuleLoadData", ctypes.byref(module), POKE)
    must("cuModuleGetFunction", ctypes.byref(function), module, b"poke")
    at = ctypes.c_uint64(address)
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(at), ctypes.c_void_p))
    must("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, parameters, None)
    return int(cuda.cuCtxSynchronize())


def intact() -> bool:
    at, size = held[0]
    seen = (ctypes.c_ubyte * size)()
    must("cuMemcpyDtoH_v2", seen, at, ctypes.c_size_t(size))
    return bytes(seen) == MARK.to_bytes(4, "little") * (size // 4)


def main() -> None:
    verbs = {"fill": fill, "free": free, "search": search, "reach": reach, "poke": poke}
    verbs |= {"intact": intact, "start": start}
    for line in sys.stdin:
        verb, *numbers = line.split()
        answer = verbs[verb](*map(int, numbers))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
