# SPDX-License-Identifier: Apache-2.0
"""A session with NVML: loaded once, errors turned into ours, missing functions remembered."""

import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pynvml

from gpushare.hardware.ports import Driver
from gpushare.model.errors import (
    DeniedError,
    DriverMismatchError,
    GpuLostError,
    HardwareError,
    NoDriverError,
    NoSuchGpuError,
)
from gpushare.model.ids import GpuId

# A question this driver, GPU or caller gets no answer to; NOT_FOUND: an empty MIG slot.
_NO_ANSWER = {
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_NOT_FOUND,
    pynvml.NVML_ERROR_TIMEOUT,
}
# After these only a new session can answer: the driver was unloaded or replaced under us.
_SESSION_OVER = {
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
}
_NO_DRIVER = (
    NoDriverError,
    "no NVIDIA driver answers",
    "install the driver, or try on a simulated machine: gpushare simulate h200-1 -- COMMAND",
)
_KNOWN: dict[int, tuple[type[HardwareError | DeniedError | NoSuchGpuError], str, str]] = {
    pynvml.NVML_ERROR_NO_PERMISSION: (
        DeniedError,
        "the driver refuses this to an unprivileged user",
        "run the daemon as root",
    ),
    pynvml.NVML_ERROR_NOT_FOUND: (NoSuchGpuError, "no such GPU", "gpushare gpus"),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: _NO_DRIVER,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: _NO_DRIVER,
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        GpuLostError,
        "the GPU has fallen off the bus",
        "drain the machine and reboot it",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        DriverMismatchError,
        "the driver's library and kernel module have different versions",
        "reboot, or reload the kernel module, after the driver update",
    ),
}


def refused(error: pynvml.NVMLError, asked: str) -> NoReturn:
    """Raise our error for an NVML one."""
    code: int = error.value
    kind, what, hint = _KNOWN.get(code, (HardwareError, "NVML refused", "nvidia-smi -q"))
    raise kind(what, f"{asked}: {error} (NVML {code})", hint) from error


class Nvml:
    """Calls NVML by function name. Safe to share between threads.

    The library is loaded and initialised at the first call and again after one that failed, so a
    driver that comes up later is found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = False
        self._missing: set[str] = set()

    def call(self, function: str, *args: Any) -> Any:
        """Raises our errors; use `get` where NVML may not report a value."""
        self._open()
        try:
            return self._function(function)(*args)
        except pynvml.NVMLError as error:
            self._fail(error, function)

    def get(self, function: str, *args: Any, default: Any = None) -> Any:
        """As `call`, but `default` where this driver, GPU or caller gets no answer."""
        self._open()
        if function in self._missing:
            return default
        try:
            return self._function(function)(*args)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                # A library does not gain functions while it is loaded.
                self._missing.add(function)
            if error.value in _NO_ANSWER:
                return default
            self._fail(error, function)

    def exports(self, symbol: str) -> bool:
        """Whether the loaded library has the symbol."""
        self._open()
        return hasattr(pynvml.nvmlLib, symbol)

    def driver(self) -> Driver:
        """Version, CUDA version, and whether the driver is simulated; raises NoDriverError."""
        simulated = "GPUSHARE_SIM_MACHINE" in os.environ and self.exports("gpushare_simulated")
        return Driver(
            version=self.call("nvmlSystemGetDriverVersion"),
            cuda=self.get("nvmlSystemGetCudaDriverVersion", default=0),
            simulated=simulated,
        )

    def handle(self, gpu: GpuId) -> Any:
        """Raises NoSuchGpuError, GpuLostError."""
        return self.call("nvmlDeviceGetHandleByUUID", gpu)

    def close(self) -> None:
        """End the session; a later call opens another one."""
        with self._lock:
            if self._ready:
                self._ready = False
                pynvml.nvmlShutdown()

    def _open(self) -> None:
        with self._lock:
            if not self._ready:
                try:
                    pynvml.nvmlInit()
                except pynvml.NVMLError as error:
                    refused(error, "nvmlInit")
                self._ready = True

    def _fail(self, error: pynvml.NVMLError, asked: str) -> NoReturn:
        if error.value in _SESSION_OVER:
            self._ready = False
        refused(error, asked)

    @staticmethod
    def _function(name: str) -> Callable[..., Any]:
        """An older nvidia-ml-py may lack a function the driver has: treated as missing there."""
        function: Callable[..., Any] | None = getattr(pynvml, name, None)
        if function is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return function
