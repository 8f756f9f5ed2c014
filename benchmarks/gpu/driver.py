# SPDX-License-Identifier: Apache-2.0
"""The CUDA driver by ctypes: as much of it as the benchmarks call."""

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

PAGE = 2 << 20
OUT_OF_MEMORY = 2


class CudaError(RuntimeError):
    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call}: CUDA error {code}")
        self.code = code


class Location(ctypes.Structure):
    _fields_ = [("type", c_int), ("id", c_int)]


class AllocationProp(ctypes.Structure):
    """CUmemAllocationProp; `gap` is its reserved tail."""

    _fields_ = [
        ("type", c_int),
        ("handles", c_int),
        ("location", Location),
        ("win32", c_void_p),
        ("gap", ctypes.c_ubyte * 8),
    ]


class PoolProps(ctypes.Structure):
    _fields_ = [
        ("type", c_int),
        ("handles", c_int),
        ("location", Location),
        ("win32", c_void_p),
        ("most", c_size_t),
        ("gap", ctypes.c_ubyte * 56),
    ]


class Array3D(ctypes.Structure):
    """CUDA_ARRAY3D_DESCRIPTOR; format 3 is a 32 bit unsigned integer."""

    _fields_ = [
        ("width", c_size_t),
        ("height", c_size_t),
        ("depth", c_size_t),
        ("format", c_int),
        ("channels", c_uint),
        ("flags", c_uint),
    ]


class Requirements(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("alignment", c_size_t), ("gap", c_uint * 4)]


class Cuda:
    """Device 0 with its primary context current. Calls raise CudaError."""

    def __init__(self, ordinal: int = 0) -> None:
        self.lib = ctypes.CDLL("libcuda.so.1")
        self("cuInit", 0)
        self.device = c_int()
        self("cuDeviceGet", byref(self.device), ordinal)
        self.context = c_void_p()
        self("cuDevicePrimaryCtxRetain", byref(self.context), self.device)
        self("cuCtxSetCurrent", self.context)

    def __call__(self, call: str, *args: object) -> None:
        code = getattr(self.lib, call)(*args)
        if code:
            raise CudaError(call, code)

    def memory(self) -> tuple[int, int]:
        """Bytes free and in all, as cuMemGetInfo says."""
        free, total = c_size_t(), c_size_t()
        self("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value, total.value

    def alloc(self, size: int) -> int:
        pointer = c_uint64()
        self("cuMemAlloc_v2", byref(pointer), c_size_t(size))
        return pointer.value

    def free(self, pointer: int) -> None:
        self("cuMemFree_v2", c_uint64(pointer))

    def create(self, size: int) -> int:
        handle = c_uint64()
        wish = AllocationProp(type=1, location=Location(1, self.device.value))
        self("cuMemCreate", byref(handle), c_size_t(size), byref(wish), c_uint64(0))
        return handle.value

    def release(self, handle: int) -> None:
        self("cuMemRelease", c_uint64(handle))

    def array(self, width: int, height: int, depth: int = 0, flags: int = 0) -> c_void_p:
        """An array of 16-byte texels."""
        made = c_void_p()
        wish = Array3D(width, height, depth, 3, 4, flags)
        self("cuArray3DCreate_v2", byref(made), byref(wish))
        return made

    def alloc_async(self, size: int, pool: c_void_p | None = None) -> int:
        pointer = c_uint64()
        if pool is None:
            self("cuMemAllocAsync", byref(pointer), c_size_t(size), None)
        else:
            self("cuMemAllocFromPoolAsync", byref(pointer), c_size_t(size), pool, None)
        return pointer.value

    def free_async(self, pointer: int) -> None:
        self("cuMemFreeAsync", c_uint64(pointer), None)
        self("cuStreamSynchronize", None)

    def default_pool(self) -> c_void_p:
        pool = c_void_p()
        self("cuDeviceGetDefaultMemPool", byref(pool), self.device)
        return pool

    def pool(self) -> c_void_p:
        made = c_void_p()
        wish = PoolProps(type=1, location=Location(1, self.device.value))
        self("cuMemPoolCreate", byref(made), byref(wish))
        return made

    def pool_reserved(self, pool: c_void_p) -> int:
        value = c_uint64()
        self("cuMemPoolGetAttribute", pool, 5, byref(value))
        return value.value
