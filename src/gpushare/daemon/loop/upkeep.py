# SPDX-License-Identifier: Apache-2.0
"""Applies policies to living shares after each pass: idle shares, sizes, profiles."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.snapshots import Snapshots
from gpushare.daemon.policies.autosize import Autosize
from gpushare.daemon.policies.idle import ActivitySample, Idle, activity_sample
from gpushare.daemon.policies.profiler import Profiler
from gpushare.guard.memo import Memo
from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import Share
from gpushare.store import Store

_Busy = Mapping[GpuId, frozenset[int] | None]


class Upkeep:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        *,
        machine: ObservedMachine,
        observer: Observer,
        processes: ShareProcesses,
        snapshots: Snapshots,
        idle: Idle,
        autosize: Autosize,
        profiler: Profiler,
    ) -> None:
        self._store, self._ports = store, ports
        self._machine, self._observer, self._processes = machine, observer, processes
        self._snapshots = snapshots
        self._idle, self._autosize, self._profiler = idle, autosize, profiler
        self._sampled_at = ports.clock.now()
        self._last_busy: _Busy = {}
        self._sampled: object = None  # of what the newest samples were made
        self._samples_now: dict[ShareId, ActivitySample] = {}
        self._known_samples: Memo[ShareId, ActivitySample] = Memo()

    async def run(self) -> list[GpushareError]:
        """After each pass, when every share has been observed; the errors in it."""
        try:
            await self._run()
        except GpushareError as error:
            return [error]
        return []

    async def _run(self) -> None:
        policy, shares = self._store.policy.current(), self._present()
        self._profiler.run(self._foreign())
        samples = await self._samples(shares)
        with_programs = {share.id for share in shares if self._processes.shown(share)}
        await self._idle.run(policy.idle, shares, samples, with_programs)
        # Idle shares may have been suspended a moment ago: sizes are only changed on the GPU.
        present = self._present() if policy.sizing.grow or policy.sizing.shrink else []
        observed = {share.id: self._observer.last(share.id) for share in present}
        sizable = [share for share in present if share.id in with_programs]
        await self._autosize.run(policy.sizing, sizable, observed, self._snapshots.take)

    def _present(self) -> list[Share]:
        """Shares on the GPU without an unconfirmed act."""
        busy = {intent.share for intent in self._store.intents.pending()}
        living = self._store.shares.living()
        return [s for s in living if s.state.holds and s.suspension is None and s.id not in busy]

    def _foreign(self) -> dict[GpuId, bool]:
        """GPUs that answer, and whether programs outside every share use each."""
        holding = (share for share in self._store.shares.living() if share.state.holds)
        ours = self._processes.pids(holding)
        return {
            gpu.uuid: bool(self._ports.outside(gpu, ours))
            for gpu in self._machine.latest.gpus
            if not gpu.health.lost
        }

    async def _samples(self, shares: Sequence[Share]) -> dict[ShareId, ActivitySample]:
        gpus = {gpu for share in shares if share.decision for gpu in share.decision.gpus}
        since, self._sampled_at = self._sampled_at, self._ports.clock.now()
        busy = await asyncio.to_thread(self._busy, sorted(gpus), since)
        # The same object while it is equal, which is quick to compare with for each share.
        self._last_busy = busy = self._last_busy if busy == self._last_busy else busy
        version = shares, self._observer.generation, self._processes.version, busy
        if version != self._sampled:
            self._known_samples.keep({share.id for share in shares})
            self._samples_now = {share.id: self._known_sample(share, busy) for share in shares}
            self._sampled = version
        return self._samples_now

    def _busy(self, gpus: Sequence[GpuId], since: datetime) -> _Busy:
        return {gpu: self._ports.busy(gpu, since) for gpu in gpus}

    def _known_sample(self, share: Share, busy: _Busy) -> ActivitySample:
        slots, processes = self._observer.last(share.id).share_slots, self._processes.shown(share)
        inputs = share.decision, slots, processes, busy
        return self._known_samples.of(share.id, inputs, lambda: self._sample(share, busy))

    def _sample(self, share: Share, busy: _Busy) -> ActivitySample:
        """Without a guard NVML is the only source, and it may list a server for the programs."""
        slots = self._observer.last(share.id).share_slots.values()
        gpus = share.decision.gpus if share.decision else ()
        pids = {process.pid for process in self._processes.shown(share)}
        by_gpu = [busy[gpu] for gpu in gpus] if pids else []
        if any(busy_pids is None for busy_pids in by_gpu):
            return activity_sample(slots, None)
        busy_pids = {pid for pids_on_gpu in by_gpu if pids_on_gpu for pid in pids_on_gpu}
        by_server = not slots and self._served(share)
        return activity_sample(slots, bool(busy_pids if by_server else busy_pids & pids))

    def _served(self, share: Share) -> bool:
        return any(promise.served for promise in self._ports.mechanisms.stack(share))
