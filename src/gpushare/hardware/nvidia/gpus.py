# SPDX-License-Identifier: Apache-2.0
"""GPUs, their health, compute modes and memory limits, over NVML."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pynvml

from gpushare.hardware.ports import Driver, Xid
from gpushare.model.errors import (
    DriverMismatchError,
    GpuLostError,
    HardwareError,
    NoDriverError,
)
from gpushare.model.gpu import ComputeMode, Confidential, Gpu, GpuHealth, GpuProcess
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes, Percent

from . import topology
from .nvml import Nvml

_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: ComputeMode.DEFAULT,
    pynvml.NVML_COMPUTEMODE_PROHIBITED: ComputeMode.PROHIBITED,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: ComputeMode.EXCLUSIVE_PROCESS,
}
_CODES = {mode: code for code, mode in _MODES.items()}
_REMEMBERED_XIDS = 16
_XID = pynvml.nvmlEventTypeXidCriticalError
_RECOVERY = pynvml.nvmlEventTypeGpuRecoveryAction
# CUDA cores per multiprocessor by compute capability; 128 from 8.6 on (CUDA C programming guide).
_CORES = {(7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}


class NvmlGpus:
    """Implements the Gpus and ComputeModes ports.

    What cannot change while the driver is loaded is asked once per GPU. A GPU that falls off the
    bus stays listed as it was, with `health.lost`.
    """

    def __init__(self, nvml: Nvml, root: Path = Path("/")) -> None:
        self._nvml, self._root = nvml, root
        self._lock = threading.Lock()
        self._known: dict[GpuId, Gpu] = {}
        self._slots: dict[int, GpuId] = {}
        self._xids: dict[GpuId, deque[int]] = {}
        self._lost: set[GpuId] = set()
        self._links: dict[frozenset[GpuId], dict[GpuId, dict[GpuId, str]]] = {}
        self._events: Any = None
        self._waiting = threading.Lock()

    def driver(self) -> Driver:
        return self._nvml.driver()

    def gpus(self) -> tuple[Gpu, ...]:
        with self._lock:
            driver = self._nvml.driver()
            count: int = self._nvml.call("nvmlDeviceGetCount")
            cards = [gpu for index in range(count) if (gpu := self._card(index, driver))]
            inner = [
                self._instance(handle, card, count + at)
                for at, (handle, card) in enumerate(self._instances(cards))
            ]
            return (*cards, *inner)

    def known(self) -> tuple[Gpu, ...]:
        """The physical GPUs as they were last seen; nothing is asked of the driver again."""
        return tuple(self._known.values()) or tuple(g for g in self.gpus() if not g.parent)

    def links(self, gpus: Iterable[Gpu]) -> dict[GpuId, dict[GpuId, str]]:
        """Between those of `gpus` that work, as `gpus()` has just returned them."""
        living = frozenset(g.uuid for g in gpus if not g.parent and not g.health.lost)
        # Links do not change while the same GPUs are there, and asking for them takes a call per
        # pair.
        if living not in self._links:
            handles = {gpu: self._nvml.handle(gpu) for gpu in sorted(living)}
            self._links[living] = topology.links(self._nvml, handles)
        return self._links[living]

    def xids(self, timeout: float) -> tuple[Xid, ...]:
        """Xids that came before the first call are not seen."""
        # A wait on a set begins when another thread's has ended, whatever its own timeout is
        # (driver 580.159). The other thread hears what comes.
        if not self._waiting.acquire(timeout=timeout):
            return ()
        try:
            xids = self._wait_for_xids(timeout)
        finally:
            self._waiting.release()
        for xid in xids:
            self._xids.setdefault(xid.gpu, deque(maxlen=_REMEMBERED_XIDS)).append(xid.code)
        return xids

    def _wait_for_xids(self, timeout: float) -> tuple[Xid, ...]:
        try:
            if self._events is None:
                self._events = self._register()
            return tuple(self._drain(max(1, int(timeout * 1000))))
        except GpuLostError:
            # The set answers nothing else from now on: make one of the GPUs that are left.
            self._events = None
            return ()

    def put_xids(self, gpu: GpuId, codes: tuple[int, ...]) -> None:
        self._xids[gpu] = deque(codes, maxlen=_REMEMBERED_XIDS)

    def compute_mode(self, gpu: GpuId) -> ComputeMode:
        handle = self._nvml.handle(gpu)
        code = self._nvml.get("nvmlDeviceGetComputeMode", handle, default=0)
        return _MODES.get(code, ComputeMode.EXCLUSIVE_PROCESS)

    def set_compute_mode(self, gpu: GpuId, mode: ComputeMode) -> None:
        self._nvml.call("nvmlDeviceSetComputeMode", self._nvml.handle(gpu), _CODES[mode])

    def _card(self, index: int, driver: Driver) -> Gpu | None:
        """The physical GPU at an index; None when it failed before it was ever seen."""
        try:
            handle = self._nvml.call("nvmlDeviceGetHandleByIndex", index)
            uuid = GpuId(self._nvml.call("nvmlDeviceGetUUID", handle))
            fixed = self._known.get(uuid) or self._describe(handle, uuid, index, driver)
            if uuid in self._lost:
                # It was reset, so its earlier errors say nothing about it now.
                self._xids.pop(uuid, None)
                self._lost.discard(uuid)
            self._known[uuid] = self._measure(handle, fixed)
            self._slots[index] = uuid
        except (NoDriverError, DriverMismatchError):
            raise
        except HardwareError:
            # Whatever ails one GPU must not hide the others.
            return self._gone(index)
        return self._known[uuid]

    def _gone(self, index: int) -> Gpu | None:
        last = self._known.get(self._slots.get(index, GpuId("")))
        if last is None:
            return None
        self._lost.add(last.uuid)
        health = msgspec.structs.replace(last.health, lost=True)
        return msgspec.structs.replace(last, health=health, processes=(), utilisation=None)

    def _describe(self, handle: Any, uuid: GpuId, index: int, driver: Driver) -> Gpu:
        get = self._nvml.get
        info = get("nvmlDeviceGetPciInfo", handle)
        pci = topology.pci_address(info.busId) if info else ""
        capability = get("nvmlDeviceGetCudaComputeCapability", handle)
        return Gpu(
            uuid=uuid,
            index=index,
            name=get("nvmlDeviceGetName", handle, default="unknown GPU"),
            memory_total=Bytes(0),
            sm_count=self._multiprocessors(handle, capability),
            compute_capability=(capability[0], capability[1]) if capability else None,
            driver=driver.version,
            pci=pci,
            numa=topology.numa_node(self._root, pci),
            cpus=tuple(sorted(topology.cpu_affinity(self._root, pci))),
            minor=get("nvmlDeviceGetMinorNumber", handle),
            simulated=driver.simulated,
            confidential=self._confidential(),
        )

    def _confidential(self) -> Confidential | None:
        """Of the whole machine; it cannot change while the driver is loaded."""
        state = self._nvml.get("nvmlSystemGetConfComputeState")
        if state is None:
            return None
        if state.ccFeature != pynvml.NVML_CC_SYSTEM_FEATURE_ENABLED:
            return Confidential.OFF
        open_to_tools = state.devToolsMode == pynvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_ON
        return Confidential.DEVTOOLS if open_to_tools else Confidential.ON

    def _multiprocessors(self, handle: Any, capability: Any) -> int | None:
        """NVML counts them for MIG instances only; else cores over cores per multiprocessor."""
        attributes = self._nvml.get("nvmlDeviceGetAttributes", handle)
        if attributes:
            return int(attributes.multiprocessorCount)
        cores = self._nvml.get("nvmlDeviceGetNumGpuCores", handle)
        per_unit = _CORES.get((capability[0], capability[1]), 128) if capability else 0
        return cores // per_unit if cores and per_unit else None

    def _measure(self, handle: Any, fixed: Gpu) -> Gpu:
        """The GPU as it is now."""
        total, reserved, used = self._memory(handle)
        load = self._nvml.get("nvmlDeviceGetUtilizationRates", handle)
        mig = self._nvml.get("nvmlDeviceGetMigMode", handle, default=(0, 0))
        mode = self._nvml.get("nvmlDeviceGetComputeMode", handle, default=0)
        return msgspec.structs.replace(
            fixed,
            memory_total=total,
            memory_reserved=reserved,
            memory_used=used,
            utilisation=Percent(load.gpu) if load else None,
            compute_mode=_MODES.get(mode, ComputeMode.EXCLUSIVE_PROCESS),
            mig_enabled=mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE,
            health=self._health(handle, fixed.uuid),
            **self._processes(handle),
        )

    def _memory(self, handle: Any) -> tuple[Bytes, Bytes, Bytes]:
        """Total, reserved and used. `used` of the newer call leaves the reserved part out."""
        new = self._nvml.get("nvmlDeviceGetMemoryInfo", handle, pynvml.nvmlMemory_v2)
        if new:
            return Bytes(new.total), Bytes(new.reserved), Bytes(new.used)
        old = self._nvml.call("nvmlDeviceGetMemoryInfo", handle)
        return Bytes(old.total), Bytes(0), Bytes(old.used)

    def _health(self, handle: Any, uuid: GpuId) -> GpuHealth:
        ecc = self._nvml.get(
            "nvmlDeviceGetTotalEccErrors",
            handle,
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
            default=0,
        )
        recovery = self._recovery(handle, uuid)
        return GpuHealth(xids=tuple(self._xids.get(uuid, ())), ecc=ecc, recovery=recovery)

    def _note_recovery(self, handle: Any, uuid: GpuId) -> None:
        """The driver names another recovery action than before; which, its field says."""
        if self._recovery(handle, uuid) == 0:
            self._xids.pop(uuid, None)

    def _recovery(self, handle: Any, uuid: GpuId) -> int | None:
        """The recovery action that NVML names; None where the driver has no such field."""
        wanted = [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
        (field,) = self._nvml.get("nvmlDeviceGetFieldValues", handle, wanted, default=(None,))
        if field is None or field.nvmlReturn != pynvml.NVML_SUCCESS:
            return None
        action = int(field.value.uiVal)
        before = self._known.get(uuid)
        # The driver saw the GPU recover, so its earlier errors say nothing about it now.
        if before and before.health.recovery and not action:
            self._xids.pop(uuid, None)
        return action

    def _processes(self, handle: Any) -> dict[str, Any]:
        """The fields of `Gpu` about them."""
        by_pid: dict[int, GpuProcess] = {}
        lists = {kind: self._running(kind, handle) for kind in ("Compute", "MPSCompute")}
        # NVML lists clients of MPS apart from other programs.
        for processes in lists.values():
            for process in processes or ():
                memory = None if process.usedGpuMemory is None else Bytes(process.usedGpuMemory)
                by_pid[process.pid] = GpuProcess(pid=process.pid, memory=memory)
        return {
            "processes": tuple(by_pid[pid] for pid in sorted(by_pid)),
            "lists_processes": lists["Compute"] is not None,
        }

    def _running(self, kind: str, handle: Any) -> list[Any] | None:
        """By the newest call that the driver has: nvidia-ml-py does not fall back by itself.

        None where it has none.
        """
        for version in ("_v3", "_v2"):
            processes = self._nvml.get(f"nvmlDeviceGet{kind}RunningProcesses{version}", handle)
            if processes is not None:
                return list(processes)
        return None

    def _instances(self, cards: list[Gpu]) -> Iterator[tuple[Any, Gpu]]:
        for card in cards:
            if card.mig_enabled and not card.health.lost:
                parent = self._nvml.handle(card.uuid)
                count = self._nvml.get("nvmlDeviceGetMaxMigDeviceCount", parent, default=0)
                slots = (
                    self._nvml.get("nvmlDeviceGetMigDeviceHandleByIndex", parent, index)
                    for index in range(count)
                )
                yield from ((handle, card) for handle in slots if handle)

    def _instance(self, handle: Any, card: Gpu, index: int) -> Gpu:
        uuid = GpuId(self._nvml.call("nvmlDeviceGetUUID", handle))
        attributes = self._nvml.get("nvmlDeviceGetAttributes", handle)
        total, reserved, used = self._memory(handle)
        return msgspec.structs.replace(
            card,
            uuid=uuid,
            index=index,
            name=self._nvml.get("nvmlDeviceGetName", handle, default=card.name),
            memory_total=total,
            memory_reserved=reserved,
            memory_used=used,
            utilisation=None,
            sm_count=attributes.multiprocessorCount if attributes else None,
            parent=card.uuid,
            mig_enabled=False,
            **self._processes(handle),
        )

    def _register(self) -> Any:
        events = self._nvml.call("nvmlEventSetCreate")
        for gpu in self.gpus():
            if gpu.parent is None and not gpu.health.lost:
                handle = self._nvml.handle(gpu.uuid)
                # A driver that does not know the second kind could refuse both.
                known = self._nvml.get("nvmlDeviceGetSupportedEventTypes", handle, default=0)
                self._nvml.get("nvmlDeviceRegisterEvents", handle, _XID | known & _RECOVERY, events)
        return events

    def _drain(self, timeout: int) -> Iterator[Xid]:
        """Wait for one event, then take what else is there."""
        while data := self._nvml.get("nvmlEventSetWait", self._events, timeout):
            uuid = GpuId(self._nvml.call("nvmlDeviceGetUUID", data.device))
            if data.eventType == _RECOVERY:
                self._note_recovery(data.device, uuid)
            else:
                yield Xid(gpu=uuid, code=int(data.eventData))
            # Milliseconds: what comes later is for the next call.
            timeout = 1
