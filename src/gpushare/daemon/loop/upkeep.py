# SPDX-License-Identifier: Apache-2.0
"""What is done about living shares in each pass: idle ones, sizes, profiles."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.placement.snapshots import Snapshots
from gpushare.daemon.policies.autosize import Autosize
from gpushare.daemon.policies.idle import ActivitySample, Idle, PolicyActs, activity_sample
from gpushare.daemon.policies.profiler import Profiler
from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import Share
from gpushare.store import Store

from .reconcile import Reconciler


class Upkeep:
    """`acts`: how a share is changed by itself."""

    def __init__(
        self, store: Store, ports: HostPorts, bus: Bus, reconciler: Reconciler, acts: PolicyActs
    ) -> None:
        self._store, self._ports = store, ports
        self._processes, self._observer = reconciler.members, reconciler.observer
        self._snapshots = Snapshots(store, ports, self._processes, self._observer)
        self._looked_at = ports.clock.now()
        self.idle = Idle(bus, ports.clock, acts)
        self.autosize = Autosize(bus, ports.clock, acts.update)
        self.profiler = Profiler(store, self._observer, ports.clock)

    async def run(self, machine: Machine) -> list[GpushareError]:
        """After each pass, when everybody has been looked at; what went wrong."""
        try:
            await self._run(machine)
        except GpushareError as error:
            return [error]
        return []

    async def _run(self, machine: Machine) -> None:
        policy, shares = self._store.policy.current(), self._present()
        self.profiler.run(self._strangers(machine))
        samples = await self._samples(shares)
        programs = {share.id for share in shares if self._processes.shown(share)}
        await self.idle.run(policy.idle, shares, samples, programs)
        shares = [share for share in self._present() if share.id in programs]
        seen = {share.id: self._observer.last(share.id) for share in self._present()}
        take = partial(self._snapshots.take, machine, ())
        await self.autosize.run(policy.sizing, shares, seen, take)

    def _present(self) -> list[Share]:
        """On the GPU, and nothing half done about them."""
        busy = {intent.share for intent in self._store.intents.pending()}
        living = self._store.shares.living()
        return [s for s in living if s.state.holds and s.suspension is None and s.id not in busy]

    def _strangers(self, machine: Machine) -> dict[GpuId, bool]:
        """GPUs that answer, and whether programs outside any share are on each."""
        holding = (share for share in self._store.shares.living() if share.state.holds)
        ours = {process.pid for share in holding for process in self._processes.shown(share)}
        return {
            gpu.uuid: any(process.pid not in ours for process in self._ports.programs(gpu))
            for gpu in machine.gpus
            if not gpu.health.lost
        }

    async def _samples(self, shares: Sequence[Share]) -> dict[ShareId, ActivitySample]:
        gpus = {gpu for share in shares if share.decision for gpu in share.decision.gpus}
        since, self._looked_at = self._looked_at, self._ports.clock.now()
        found = {gpu: await asyncio.to_thread(self._ports.busy, gpu, since) for gpu in sorted(gpus)}
        return {share.id: self._sample(share, found) for share in shares}

    def _sample(self, share: Share, busy: Mapping[GpuId, frozenset[int] | None]) -> ActivitySample:
        """Without a guard NVML is the only source, and it may list a server for the programs."""
        share_slots = self._observer.last(share.id).share_slots.values()
        gpus = share.decision.gpus if share.decision else ()
        pids = {process.pid for process in self._processes.shown(share)}
        found = [busy[gpu] for gpu in gpus] if pids else []
        if any(one is None for one in found):
            return activity_sample(share_slots, None)
        seen = {pid for one in found if one for pid in one}
        by_server = not share_slots and self._served(share)
        return activity_sample(share_slots, bool(seen if by_server else seen & pids))

    def _served(self, share: Share) -> bool:
        return any(promise.served for promise in self._ports.mechanisms.stack(share))
