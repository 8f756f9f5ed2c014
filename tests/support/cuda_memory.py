# SPDX-License-Identifier: Apache-2.0
"""The beginning of programs that fill GPU memory with a byte and check that it stays."""

CUDA_MEMORY = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    assert result == 0, (name, result)
def fill(size, byte):
    context, at = ctypes.c_void_p(), ctypes.c_uint64()
    call("cuInit", 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    call("cuCtxSetCurrent", context)
    call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(size))
    call("cuMemsetD8_v2", at, ctypes.c_ubyte(byte), ctypes.c_size_t(size))
    return at.value
def check(at, size, byte):
    seen = (ctypes.c_ubyte * 64)()
    for offset in (0, size // 2, size - 64):
        call("cuMemcpyDtoH_v2", seen, ctypes.c_uint64(at + offset), ctypes.c_size_t(64))
        assert bytes(seen) == bytes([byte] * 64), "memory has changed"
"""
