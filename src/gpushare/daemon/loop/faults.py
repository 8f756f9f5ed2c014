# SPDX-License-Identifier: Apache-2.0
"""Notices lost GPUs, Xids and faults of shares, and which shares they affect.

A fault becomes the share's `reason`: a share that ends after a fault ends as failed.
"""

import asyncio

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.hardware.ports import Xid
from gpushare.model.ids import GpuId
from gpushare.model.promise import shared_fault
from gpushare.model.share import Share
from gpushare.store import Store

# Xids that end a program under MPS end all of them; these end every program on the GPU anyway.
_REACH_ALL = frozenset({48, 79, 95, 109})
# Records of memory repair (63, 64, 92), and of a program that was killed (45): they harm no other.
_REACH_NONE = frozenset({45, 63, 64, 92})


class Faults:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        machine: ObservedMachine,
        observer: Observer,
        executor: Executor,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._machine, self._observer, self._executor = machine, observer, executor
        self._lost = set[GpuId]()

    @property
    def lost(self) -> set[GpuId]:
        """GPUs that were lost at the last look."""
        return self._lost

    async def hear_xids(self, seconds: float) -> None:
        """Wait for critical errors and report them.

        Does not wait for the daemon's turn, so that the cause is known before programs end.
        """
        for xid in await asyncio.to_thread(self._ports.gpus.xids, seconds):
            self.notice_xid(xid)

    def notice_xid(self, xid: Xid) -> None:
        """Report a critical error, and record it as the fault of every share that it ends."""
        gpus = {gpu.uuid: gpu.index for gpu in self._machine.latest.gpus}
        error = f"Xid {xid.code} on GPU {gpus.get(xid.gpu, xid.gpu)}"
        self._bus.publish("gpu.xid", error, gpu=xid.gpu)
        if xid.code in _REACH_NONE:
            return
        for share in self._store.shares.living():
            decision = share.decision if share.state.holds else None
            if decision is None or xid.gpu not in decision.gpus:
                continue
            if xid.code in _REACH_ALL:
                self._record(share, f"{error} ended every program on it")
            elif under := shared_fault(self._ports.mechanisms.stack(share)):
                self._record(share, f"{error}: a fault ends every program under {under} on the GPU")

    def notice_gpus(self) -> None:
        """Report GPUs that were lost or have come back since the last pass."""
        gpus = self._machine.latest.gpus
        lost = {gpu.uuid for gpu in gpus if gpu.health.lost}
        for gpu in gpus:
            if gpu.uuid in lost - self._lost:
                self._bus.publish("gpu.lost", f"GPU {gpu.index} is lost", gpu=gpu.uuid)
            elif gpu.uuid in self._lost - lost:
                self._bus.publish("gpu.recovered", f"GPU {gpu.index} is back", gpu=gpu.uuid)
        self._lost = lost

    def notice_share(self, share: Share) -> Share:
        """Record a fault that a mechanism has seen, or the loss of a GPU."""
        fault = self._observer.last(share.id).fault
        if not fault and self.on_lost_gpu(share):
            fault = "a GPU of the share is lost"
        return self._record(share, fault) if fault and fault != share.reason else share

    def on_lost_gpu(self, share: Share) -> bool:
        """Whether one of the share's GPUs was lost at the last look."""
        if not self._lost or share.decision is None:
            return False
        return not self._lost.isdisjoint(share.decision.gpus)

    def _record(self, share: Share, fault: str) -> Share:
        # The edits name files and daemons that the fault may have ended, so they are made again.
        self._executor.forget(share.id)
        with self._store.transaction():
            self._bus.publish("share.fault", fault, share=share.id)
            return self._store.shares.update(share.id, reason=fault)
