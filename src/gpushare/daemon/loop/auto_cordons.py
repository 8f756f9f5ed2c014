# SPDX-License-Identifier: Apache-2.0
"""Cordons GPUs that are not sound, and lifts what it has set when they are sound again.

What counts is `GpuHealth.withheld`: the recovery action that NVML names, or an Xid after which the
GPU needs a reset; never an Xid that a program causes. The driver does not repeat Xids to a new
daemon, so the cordon keeps the health that it was set for. Once the driver names no recovery action
any more, or the machine was started again, the GPU is sound. A person's cordon is never touched.
"""

from collections.abc import Callable

from msgspec.structs import replace

from gpushare.config.settings import AutoCordon
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.operations.cordon import Cordon
from gpushare.store import Store, StoredCordon


class AutoCordons:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        machine: ObservedMachine,
        mode: Callable[[], AutoCordon],
    ) -> None:
        self._store, self._ports, self._bus, self._machine = store, ports, bus, machine
        self._mode = mode
        self._recall()

    def run(self) -> None:
        """Once a pass, after the look at the machine."""
        for gpu in self._machine.latest.gpus:
            # Of a lost GPU nothing is known; it takes no share as it is.
            if not gpu.health.lost and gpu.parent is None:
                self._settle(gpu, self._mode())
        self._machine.put_cordons()

    def _recall(self) -> None:
        """Before the first look at the machine: Xids that earlier daemons have seen since boot."""
        for stored in self._store.cordons.all():
            if stored.cordon.automatic and stored.boot == self._ports.boot:
                self._ports.gpus.put_xids(GpuId(stored.cordon.target), stored.health.xids)

    def _settle(self, gpu: Gpu, mode: AutoCordon) -> None:
        stored = self._store.cordons.of(gpu.uuid, automatic=True)
        if stored and _recovered(stored, gpu):
            self._ports.gpus.put_xids(gpu.uuid, ())
            gpu = replace(gpu, health=replace(gpu.health, xids=()))
        why = gpu.health.withheld
        if why and mode is not AutoCordon.OFF:
            if stored is None or stored.health != gpu.health:
                self._put(gpu, stored, why)
        elif stored and (mode is AutoCordon.OFF or (mode is AutoCordon.LIFT and not why)):
            self._lift(gpu, "automatic cordons are off" if why else "it is sound again")

    def _put(self, gpu: Gpu, stored: StoredCordon | None, why: str) -> None:
        at = stored.cordon.at if stored else self._ports.clock.now()
        cordon = Cordon(target=gpu.uuid, at=at, reason=why, automatic=True)
        with self._store.transaction():
            self._store.cordons.put(
                StoredCordon(cordon=cordon, health=gpu.health, boot=self._ports.boot)
            )
            if stored is None or stored.cordon.reason != why:
                self._bus.publish("gpu.cordoned", f"GPU {gpu.index} {cordon.text}", gpu=gpu.uuid)

    def _lift(self, gpu: Gpu, why: str) -> None:
        with self._store.transaction():
            self._store.cordons.lift(gpu.uuid, automatic=True)
            message = f"GPU {gpu.index} is no longer cordoned automatically: {why}"
            self._bus.publish("gpu.uncordoned", message, gpu=gpu.uuid)


def _recovered(stored: StoredCordon, gpu: Gpu) -> bool:
    """Whether the driver, which named a recovery action before, names none now."""
    return bool(stored.health.recovery) and gpu.health.recovery == 0
