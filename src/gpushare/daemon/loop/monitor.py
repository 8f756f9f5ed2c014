# SPDX-License-Identifier: Apache-2.0
"""Checks shares, programs outside shares, and quotas once a pass, and reports what is unusual."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.snapshots import Snapshots
from gpushare.daemon.policies.anomalies import Anomalies, Counter, ShareSample, denied_of
from gpushare.daemon.policies.quotas import quotas
from gpushare.daemon.present.views import user_name
from gpushare.model.errors import DeniedError, NeverFitsError
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.policy.view import QuotaView
from gpushare.model.share import Caller, Share, State
from gpushare.model.units import Bytes
from gpushare.store import Store

_QUOTA_SECONDS = 60.0
_DENIED_SECONDS = 60.0  # between two events about one share's refused allocations
_PROBES = frozenset({NeverFitsError.code})
# The first four characters of a code name its family: `GS13` is every denial.
_DENIALS = DeniedError.code[:4]


class Monitor:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        machine: ObservedMachine,
        observer: Observer,
        processes: ShareProcesses,
        snapshots: Snapshots,
        anomalies: Anomalies,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._machine, self._observer, self._processes = machine, observer, processes
        self._snapshots, self._anomalies = snapshots, anomalies
        self._refused_allocations = RefusedAllocations()
        self._quotas_at = float("-inf")
        self._version: object = None  # of what the newest samples were made
        self._newest: list[ShareSample] = []

    def refused(self, caller: Caller, code: str) -> None:
        """A call was refused. Refusals because there is no room now are usual and do not count."""
        if code.startswith(_DENIALS) or code in _PROBES:
            self._anomalies.refused(self._ports.clock.elapsed(), user_name(caller.uid))

    async def look(self, living: Sequence[Share]) -> None:
        """`living`: every share, just observed."""
        now, policy = self._ports.clock.elapsed(), self._store.policy.current()
        samples = self._samples(living)
        for share, number in self._refused_allocations.look(now, samples):
            message = f"{number} allocations were refused at its limit"
            self._bus.publish("share.denied", message, share=share)
        anomalies = self._anomalies.look(
            now,
            samples,
            outside=self._outside(living),
            quota_use=self._quota_use(now, policy, living),
            min_runtime=policy.min_runtime,
        )
        for it in anomalies:
            self._bus.publish(f"anomaly.{it.kind}", it.why, share=it.share, gpu=it.gpu)

    def _samples(self, living: Sequence[Share]) -> list[ShareSample]:
        """The same list while nothing in it changes but the time; that matters while some wait."""
        waiting = {share.tenant for share in living if share.state is State.QUEUED}
        processes, store = self._processes.version, self._store.generation
        version = store, self._observer.generation, processes
        if waiting or version != self._version:
            now = self._ports.clock.now()
            self._newest = [
                self._sample(share, now, crowded=bool(waiting - {share.tenant}))
                for share in living
                if share.state.holds
            ]
        self._version = version
        return self._newest

    def _sample(self, share: Share, now: datetime, *, crowded: bool) -> ShareSample:
        observed = self._observer.last(share.id)
        launches = [slot.launches for slot in observed.share_slots.values()]
        since = share.granted or share.created
        return ShareSample(
            share=share.id,
            name=share.name,
            tenant=share.tenant,
            user=user_name(share.uid),
            program=share.program,
            denied=observed.denied,
            launches=sum(launches) if launches else None,
            used=Bytes(sum(observed.used.values())) if observed.used else None,
            programs=bool(self._processes.shown(share)),
            held=max(0.0, (now - since).total_seconds()),
            crowded=crowded,
        )

    def _outside(self, living: Sequence[Share]) -> dict[GpuId, frozenset[int]]:
        holding = [share for share in living if share.state.holds]
        ours = self._processes.pids(holding)
        shared = {gpu for share in holding if share.decision for gpu in share.decision.gpus}
        return {
            gpu.uuid: frozenset(process.pid for process in self._ports.outside(gpu, ours))
            for gpu in self._machine.latest.gpus
            if gpu.uuid in shared and not gpu.health.lost
        }

    def _quota_use(
        self, now: float, policy: Policy, living: Sequence[Share]
    ) -> Mapping[Tenant, float] | None:
        """How much of its limit each tenant has; once a minute, and only if there are limits."""
        if now - self._quotas_at < _QUOTA_SECONDS or not any(map(_limited, _specs(policy))):
            return None
        self._quotas_at = now
        at = self._ports.clock.now()
        views = quotas(
            self._snapshots.take(),
            living,
            within=self._store.usage.within(at, policy.period),
            decayed={},
        )
        parts = {quota.tenant: _part(quota) for quota in views}
        return {tenant: part for tenant, part in parts.items() if part is not None}


class RefusedAllocations:
    """Refused allocations, reported for each share once a minute at most."""

    def __init__(self) -> None:
        self._counter = Counter()
        self._unreported: dict[ShareId, int] = {}
        self._reported: dict[ShareId, float] = {}

    def look(self, now: float, samples: Sequence[ShareSample]) -> Iterator[tuple[ShareId, int]]:
        """Shares, and how many of their allocations were refused since the last report."""
        for sample, grown in self._counter.growth(samples, denied_of):
            self._unreported[sample.share] = self._unreported.get(sample.share, 0) + grown
        reported = self._unreported.keys() | self._reported.keys()
        here = {sample.share for sample in samples if sample.share in reported}
        for share in list(self._unreported):
            waited = now - self._reported.get(share, float("-inf"))
            # A program that is refused in a loop would otherwise publish an event in each pass. A
            # share that has gone is reported at once, because there is no later look at it.
            if waited >= _DENIED_SECONDS or share not in here:
                self._reported[share] = now
                yield share, self._unreported.pop(share)
        self._reported = {share: at for share, at in self._reported.items() if share in here}


def _specs(policy: Policy) -> Iterator[TenantSpec]:
    yield policy.default
    yield from policy.tenants.values()


def _limited(spec: TenantSpec) -> bool:
    amounts = (spec.limit.memory, spec.limit.compute, spec.gpu_hours)
    return any(amount is not None for amount in amounts)


def _part(quota: QuotaView) -> float | None:
    """How much of its tightest limit the tenant uses; None: no limit, or a limit of nothing."""
    pairs = (
        (quota.used.memory, quota.limit.memory),
        (quota.used.compute, quota.limit.compute),
        (quota.hours, quota.gpu_hours),
    )
    return max((has / most for has, most in pairs if most and has is not None), default=None)
