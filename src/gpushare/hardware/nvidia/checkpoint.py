# SPDX-License-Identifier: Apache-2.0
"""The driver's own checkpoint of a process: all it has on GPUs goes to its host memory.

CUDA driver API 12.8, cuCheckpointProcess*. The argument structs are 64 bytes, zero unless set.
What restores elsewhere came with CUDA 13.0; an older driver restores where it was, or refuses.
"""

import ctypes
import os
from collections.abc import Mapping, Sequence
from functools import cache

from gpushare.hardware.ports import CheckpointState
from gpushare.model.errors import (
    GpushareError,
    MoveFailedError,
    MoveTimeoutError,
    NoDriverError,
    NotSuspendableError,
    UnsupportedError,
)
from gpushare.model.ids import GpuId

_SUCCESS, _INVALID_VALUE, _NOT_READY, _NOT_SUPPORTED = 0, 1, 600, 801  # CUresult of cuda.h
_REMAPS = 13000  # the first driver that restores on other GPUs
_ARGUMENTS = 64


class _LockArguments(ctypes.Structure):
    _fields_ = [("timeout_ms", ctypes.c_uint), ("reserved", ctypes.c_ubyte * (_ARGUMENTS - 4))]


class _Uuid(ctypes.Structure):
    _fields_ = [("octets", ctypes.c_ubyte * 16)]


class _GpuPair(ctypes.Structure):
    _fields_ = [("old", _Uuid), ("new", _Uuid)]


class _RestoreArguments(ctypes.Structure):
    """Until CUDA 13.3 what follows the count is reserved; later it is custom storage: unused."""

    _fields_ = [
        ("pairs", ctypes.POINTER(_GpuPair)),
        ("count", ctypes.c_uint),
        ("reserved", ctypes.c_ubyte * (_ARGUMENTS - ctypes.sizeof(ctypes.c_void_p) - 4)),
    ]


class CudaCheckpoints:
    """Implements the Checkpoints port. The driver is loaded at the first call, not before."""

    def state(self, pid: int) -> CheckpointState | None:
        state = ctypes.c_int()
        result = _cuda().cuCheckpointProcessGetState(pid, ctypes.byref(state))
        if result != _SUCCESS or state.value not in list(CheckpointState):
            return None
        return CheckpointState(state.value)

    def lock(self, pid: int, seconds: float) -> None:
        arguments = _LockArguments(timeout_ms=max(1, round(seconds * 1000)))
        _check(_cuda().cuCheckpointProcessLock(pid, ctypes.byref(arguments)), "lock", pid)

    def checkpoint(self, pid: int) -> None:
        _check(_cuda().cuCheckpointProcessCheckpoint(pid, _nothing()), "checkpoint", pid)

    def remaps(self) -> str:
        version = ctypes.c_int()
        _cuda().cuDriverGetVersion(ctypes.byref(version))
        if version.value >= _REMAPS:
            return ""
        return "this driver restores programs only where they were; that needs driver 580 or newer"

    def restore(self, pid: int, moves: Mapping[GpuId, GpuId] = {}) -> None:
        if not moves:
            _check(_cuda().cuCheckpointProcessRestore(pid, _nothing()), "restore", pid)
            return
        # A map that the driver refuses has changed nothing, so another may be tried.
        for mapping in (permutation(moves, _gpus()), moves):
            result = _restore_on(pid, mapping)
            if result != _INVALID_VALUE:
                break
        _check(result, "restore elsewhere", pid)

    def unlock(self, pid: int) -> None:
        _check(_cuda().cuCheckpointProcessUnlock(pid, _nothing()), "unlock", pid)


def permutation(moves: Mapping[GpuId, GpuId], gpus: Sequence[GpuId]) -> dict[GpuId, GpuId]:
    """`moves` with all other GPUs: the driver wants each GPU once on either side (driver 580).

    GPUs that are not in the way stay; the others take places that were left.
    """
    others = [gpu for gpu in gpus if gpu not in moves]
    targets = set(moves.values())
    left = iter([gpu for gpu in moves if gpu not in targets])
    return dict(moves) | {gpu: next(left) if gpu in targets else gpu for gpu in others}


def _restore_on(pid: int, moves: Mapping[GpuId, GpuId]) -> int:
    pairs = (_GpuPair * len(moves))(*(_GpuPair(_uuid(a), _uuid(b)) for a, b in moves.items()))
    arguments = _RestoreArguments(pairs=pairs, count=len(moves))
    return int(_cuda().cuCheckpointProcessRestore(pid, ctypes.byref(arguments)))


def _uuid(gpu: GpuId) -> _Uuid:
    return _Uuid.from_buffer_copy(bytes.fromhex(gpu.removeprefix("GPU-").replace("-", "")))


def _gpus() -> list[GpuId]:
    """Every GPU that the driver has for us."""
    count, gpus = ctypes.c_int(), []
    _cuda().cuDeviceGetCount(ctypes.byref(count))
    for device in range(count.value):
        uuid = _Uuid()
        if _cuda().cuDeviceGetUuid(ctypes.byref(uuid), device) == _SUCCESS:
            text = bytes(uuid.octets).hex()
            cuts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
            gpus.append(GpuId(f"GPU-{'-'.join(cuts)}"))
    return gpus


@cache
def _cuda() -> ctypes.CDLL:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoDriverError("the CUDA driver cannot be loaded", str(error)) from error
    if not hasattr(cuda, "cuCheckpointProcessLock"):
        raise UnsupportedError(
            "this driver cannot checkpoint programs", "that needs driver 570 or newer"
        )
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # a map of GPUs names all of them
    cuda.cuInit(0)
    return cuda


def _nothing() -> ctypes.Array[ctypes.c_ubyte]:
    return (ctypes.c_ubyte * _ARGUMENTS)()


def _check(result: int, act: str, pid: int) -> None:
    if result != _SUCCESS:
        raise _refusal(result, act, pid)


def _refusal(result: int, act: str, pid: int) -> GpushareError:
    if result == _NOT_READY:
        return MoveTimeoutError(
            f"process {pid} did not stop in time", "the GPU is still working for it", "try again"
        )
    if result == _NOT_SUPPORTED:
        return NotSuspendableError(
            f"the driver cannot checkpoint process {pid}",
            "it uses managed memory, or something else that cannot be checkpointed",
            "suspend it without --deep",
        )
    return MoveFailedError(f"the driver did not {act} process {pid}", f"CUDA error {result}")
