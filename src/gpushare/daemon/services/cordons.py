# SPDX-License-Identifier: Apache-2.0
"""Cordons that people set and lift. Who did it, when and why is also in the audit log."""

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.placement.placement import PlacementService
from gpushare.model.errors import NoSuchGpuError
from gpushare.model.gpu import Gpu
from gpushare.model.operations.cordon import NODE, Cordon, CordonChange, CordonRequest
from gpushare.store import Store, StoredCordon


class DaemonCordons:
    """`ref`: the index or UUID of a GPU, or `node`."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        machine: ObservedMachine,
        placement: PlacementService,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._machine, self._placement = machine, placement

    def all(self) -> tuple[Cordon, ...]:
        return tuple(stored.cordon for stored in self._store.cordons.all())

    def put(self, ref: str, request: CordonRequest, by: str) -> CordonChange:
        """Cordon the target, or replace its reason. Raises NoSuchGpuError."""
        gpu = self._gpu(ref)
        target = gpu.uuid if gpu else NODE
        before = self._of(target)
        cordon = Cordon(
            target=target,
            at=self._ports.clock.now(),
            by=by,
            reason=request.reason or next((c.reason for c in before if not c.automatic), ""),
            drain=request.drain,
        )
        with self._store.transaction():
            self._store.cordons.put(StoredCordon(cordon=cordon))
            message = f"{_name(gpu)} {_said(cordon)}"
            self._bus.publish("gpu.cordoned", message, gpu=gpu.uuid if gpu else None)
        self._machine.put_cordons()
        return CordonChange(before=before, now=self._on(gpu))

    async def lift(self, ref: str, by: str) -> CordonChange:
        """Lift the target's cordons. Xids that were seen count no longer; if the driver still names
        a recovery action, the daemon's own cordon stays. Raises NoSuchGpuError, HardwareError.
        """
        gpu = self._gpu(ref)
        target = gpu.uuid if gpu else NODE
        before = self._of(target)
        if gpu and any(cordon.automatic for cordon in before):
            self._ports.gpus.put_xids(gpu.uuid, ())
            await self._machine.refresh()
            gpu = self._gpu(ref)
        sound = gpu is None or not gpu.health.withheld
        with self._store.transaction():
            self._store.cordons.lift(target, automatic=False)
            if sound:
                self._store.cordons.lift(target, automatic=True)
            if before:
                message = f"{_name(gpu)} is no longer cordoned, by {by}"
                self._bus.publish("gpu.uncordoned", message, gpu=gpu.uuid if gpu else None)
        self._machine.put_cordons()
        self._placement.advance()
        return CordonChange(before=before, now=self._on(self._gpu(ref)))

    def _of(self, target: str) -> tuple[Cordon, ...]:
        return tuple(cordon for cordon in self.all() if cordon.target == target)

    def _on(self, gpu: Gpu | None) -> tuple[Cordon, ...]:
        """What holds shares off the target now."""
        if gpu is None:
            return self.all()
        latest = {it.uuid: it for it in self._machine.latest.gpus}
        return latest[gpu.uuid].cordons

    def _gpu(self, ref: str) -> Gpu | None:
        """None: the whole machine."""
        if ref == NODE:
            return None
        gpus = self._machine.latest.gpus
        for gpu in gpus:
            if ref in {gpu.uuid, str(gpu.index)}:
                return gpu
        names = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) or "no GPU"
        raise NoSuchGpuError(
            f"no GPU {ref!r}",
            f"this machine has {names}; `node` means all of them",
            "gpushare gpus",
        )


def _name(gpu: Gpu | None) -> str:
    return f"GPU {gpu.index}" if gpu else "every GPU"


def _said(cordon: Cordon) -> str:
    drain = ", to be drained" if cordon.drain else ""
    return f"{cordon.text}{drain}"
