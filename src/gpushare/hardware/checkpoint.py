# SPDX-License-Identifier: Apache-2.0
"""The driver's own checkpoint of a process: all it has on GPUs goes to its host memory.

CUDA driver API 12.8, cuCheckpointProcess*. The argument structs are 64 bytes, zero unless said.
"""

import ctypes
from functools import cache

from gpushare.model.errors import (
    GpushareError,
    MoveFailedError,
    MoveTimeoutError,
    NoDriverError,
    NotSuspendableError,
    UnsupportedError,
)

from .ports import CheckpointState

_SUCCESS, _NOT_READY, _NOT_SUPPORTED = 0, 600, 801  # CUresult of cuda.h
_ARGUMENTS = 64


class _LockArguments(ctypes.Structure):
    _fields_ = [("timeout_ms", ctypes.c_uint), ("reserved", ctypes.c_ubyte * (_ARGUMENTS - 4))]


class CudaCheckpoints:
    """Implements the Checkpoints port. The driver is loaded at the first call, not before."""

    def state(self, pid: int) -> CheckpointState | None:
        found = ctypes.c_int()
        result = _cuda().cuCheckpointProcessGetState(pid, ctypes.byref(found))
        if result != _SUCCESS or found.value not in list(CheckpointState):
            return None
        return CheckpointState(found.value)

    def lock(self, pid: int, seconds: float) -> None:
        arguments = _LockArguments(timeout_ms=max(1, round(seconds * 1000)))
        _check(_cuda().cuCheckpointProcessLock(pid, ctypes.byref(arguments)), "lock", pid)

    def checkpoint(self, pid: int) -> None:
        _check(_cuda().cuCheckpointProcessCheckpoint(pid, _nothing()), "checkpoint", pid)

    def restore(self, pid: int) -> None:
        _check(_cuda().cuCheckpointProcessRestore(pid, _nothing()), "restore", pid)

    def unlock(self, pid: int) -> None:
        _check(_cuda().cuCheckpointProcessUnlock(pid, _nothing()), "unlock", pid)


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
