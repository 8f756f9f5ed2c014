# SPDX-License-Identifier: Apache-2.0
"""The driver's own way to take a process off the GPU: cuCheckpointProcess*, through ctypes."""

import ctypes
import time

from .driver import CudaError

_ARGUMENTS = 64  # bytes of every argument struct; zeroed ones ask for what is usual


class Checkpoint:
    """Needs no context of its own; the process may be any of the same user."""

    def __init__(self, pid: int) -> None:
        self._pid, self._lib = ctypes.c_int(pid), ctypes.CDLL("libcuda.so.1")
        if code := self._lib.cuInit(0):
            raise CudaError("cuInit", code)

    def _call(self, act: str) -> None:
        arguments = ctypes.create_string_buffer(_ARGUMENTS)
        code = getattr(self._lib, f"cuCheckpointProcess{act}")(self._pid, arguments)
        if code:
            raise CudaError(f"cuCheckpointProcess{act}", code)

    def out(self) -> float:
        """Seconds."""
        begun = time.monotonic()
        self._call("Lock")
        try:
            self._call("Checkpoint")
        except CudaError:
            self._call("Unlock")
            raise
        return time.monotonic() - begun

    def back(self) -> float:
        """Seconds."""
        begun = time.monotonic()
        self._call("Restore")
        self._call("Unlock")
        return time.monotonic() - begun
