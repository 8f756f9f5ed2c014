# SPDX-License-Identifier: Apache-2.0
"""The daemon's figures as samples of the metrics table."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from gpushare.api.metrics import Sample, render
from gpushare.daemon.access.access import Access
from gpushare.daemon.base.fresh import Fresh, Version
from gpushare.daemon.loop.core import Core
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.policies.anomalies import Anomalies
from gpushare.hardware.ports import Clock
from gpushare.model.policy.view import QuotaView
from gpushare.model.scheduling import FIGURES, metric_name
from gpushare.model.share import Caller, State, Tier
from gpushare.model.version import __version__
from gpushare.model.view import GpuView, ShareView


@dataclass(frozen=True)
class Figures:
    """What the caller may see, and what the samples are made from."""

    shares: Sequence[ShareView]
    gpus: Sequence[GpuView]
    quotas: Sequence[QuotaView]
    driver: str


class Metrics:
    def __init__(
        self,
        core: Core,
        observer: Observer,
        anomalies: Anomalies,
        clock: Clock,
        *,
        access: Access,
        version: Version,
    ) -> None:
        self._core, self._observer, self._anomalies = core, observer, anomalies
        self._clock, self._access = clock, access
        self._texts: Fresh[bytes] = Fresh(clock, version)
        self._rendering: dict[tuple[bool, int], asyncio.Task[bytes]] = {}

    async def text(self, caller: Caller, figures: Callable[[Caller], Awaitable[Figures]]) -> bytes:
        """In the Prometheus text format; rendered once for all who ask within a moment."""
        sight = self._access.sight(caller)
        if (text := self._texts.kept(sight)) is not None:
            return text
        if sight not in self._rendering:
            self._rendering[sight] = task = asyncio.create_task(self._render(caller, figures))
            task.add_done_callback(lambda _: self._rendering.pop(sight))
        return await asyncio.shield(self._rendering[sight])

    async def _render(
        self, caller: Caller, figures: Callable[[Caller], Awaitable[Figures]]
    ) -> bytes:
        text = self._rendered(await figures(caller))
        return self._texts.put(self._access.sight(caller), text)

    def _rendered(self, seen: Figures) -> bytes:
        own = self._own(Counter(share.state for share in seen.shares), seen.driver)
        parts = _gpus(seen.gpus) | self._all_of(seen.shares) | _tenants(seen.quotas)
        return render(own | parts)

    def _all_of(self, shares: Sequence[ShareView]) -> dict[str, Iterable[Sample]]:
        return _shares(self._observer, shares) | _proofs(shares, self._clock.now())

    def _own(self, states: Counter[State], driver: str) -> dict[str, Iterable[Sample]]:
        core, anomalies = self._core, self._anomalies.counts
        return {
            "gpushare_info": [Sample(value=1, labels=(__version__, driver))],
            "gpushare_shares": [Sample(value=n, labels=(state,)) for state, n in states.items()],
            "gpushare_reconcile_seconds": [Sample(value=core.pass_seconds)],
            "gpushare_reconcile_failures_total": [Sample(value=core.failed_passes)],
            "gpushare_anomalies_total": [
                Sample(value=n, labels=(kind,)) for kind, n in anomalies.items()
            ],
        }


def _samples(labels: Iterable[tuple[str, ...]], values: Iterable[float | None]) -> list[Sample]:
    """One for each known value."""
    return [
        Sample(value=value, labels=of)
        for of, value in zip(labels, values, strict=True)
        if value is not None
    ]


def _gpus(gpus: Sequence[GpuView]) -> dict[str, Iterable[Sample]]:
    each = partial(_samples, [(gpu.uuid, str(gpu.index)) for gpu in gpus])

    return {
        "gpushare_gpu_memory_total_bytes": each(gpu.memory.total for gpu in gpus),
        "gpushare_gpu_memory_reserved_bytes": each(gpu.memory.reserved for gpu in gpus),
        "gpushare_gpu_memory_granted_bytes": each(gpu.memory.granted for gpu in gpus),
        "gpushare_gpu_memory_used_bytes": each(gpu.memory.used for gpu in gpus),
        "gpushare_gpu_compute_granted_ratio": each(gpu.compute.granted / 100 for gpu in gpus),
        "gpushare_gpu_utilisation_ratio": each(
            None if gpu.compute.used is None else gpu.compute.used / 100 for gpu in gpus
        ),
        "gpushare_gpu_cordoned": each(float(bool(gpu.cordons)) for gpu in gpus),
        "gpushare_gpu_lost": each(float(gpu.health.lost) for gpu in gpus),
    }


def _shares(observer: Observer, shares: Sequence[ShareView]) -> dict[str, Iterable[Sample]]:
    each = partial(_samples, [(share.id, share.name, share.user) for share in shares])

    return {
        "gpushare_share_memory_limit_bytes": each(share.memory.limit for share in shares),
        "gpushare_share_memory_used_bytes": each(share.memory.used for share in shares),
        "gpushare_share_memory_peak_bytes": each(share.memory.peak for share in shares),
        "gpushare_share_denied_total": each(observer.last(s.id).denied for s in shares),
        "gpushare_share_processes": each(len(share.pids) for share in shares),
        "gpushare_share_memory_cached_bytes": each(share.memory.cached for share in shares),
        **_escapes(each, shares),
        "gpushare_share_compute_limit_ratio": each(_ratio(s.compute.limit) for s in shares),
        "gpushare_share_compute_delivered_ratio": each(_ratio(s.compute.delivered) for s in shares),
        "gpushare_share_suspendable": each(
            float(share.suspendable.yes) if share.suspendable else None for share in shares
        ),
        "gpushare_share_suspend_seconds": _moves(shares, "out_seconds"),
        "gpushare_share_resume_seconds": _moves(shares, "in_seconds"),
        **{
            name: each(_figure_of(share, it) for share in shares)
            for name, it in _SCHEDULING.items()
        },
    }


def _proofs(shares: Sequence[ShareView], now: datetime) -> dict[str, Iterable[Sample]]:
    each = partial(_samples, [(share.id, share.name, share.user) for share in shares])
    proofs = [share.proof for share in shares]
    return {
        "gpushare_share_proof_age_seconds": each(
            None if proof is None else max(0.0, (now - proof.at).total_seconds())
            for proof in proofs
        ),
        "gpushare_share_proof_failed": each(
            None if proof is None else float(not proof.ok) for proof in proofs
        ),
    }


def _escapes(
    each: Callable[[Iterable[float | None]], list[Sample]], shares: Sequence[ShareView]
) -> dict[str, Iterable[Sample]]:
    periods, guards = [s.escape for s in shares], [s.guard for s in shares]
    return {
        "gpushare_share_memory_uncounted_bytes": each(s.memory.uncounted for s in shares),
        "gpushare_share_escaped": each(
            None if share.promised is None else float(bool(share.escape and share.escape.active))
            for share in shares
        ),
        "gpushare_share_escape_start_time_seconds": each(
            period.since.timestamp() if period else None for period in periods
        ),
        "gpushare_share_unlisted_total": each(None if it is None else it.unlisted for it in guards),
        "gpushare_share_unhooked_total": each(None if it is None else it.unhooked for it in guards),
    }


# Metrics keep their former `gate` names for one release (changelog: scheduling metrics).
_SCHEDULING = {metric_name(name): name for name in FIGURES} | {
    metric_name(name, "gate"): name for name, row in FIGURES.items() if row.was_metric
}


def _tenants(quotas: Sequence[QuotaView]) -> dict[str, Iterable[Sample]]:
    def each(value: Callable[[QuotaView], float | None]) -> list[Sample]:
        pairs = ((quota.tenant, value(quota)) for quota in quotas)
        return [
            Sample(value=figure, labels=(name,)) for name, figure in pairs if figure is not None
        ]

    amounts = {
        f"gpushare_tenant_{what}_{kind}_{unit}": each(_amount(field, what, scale))
        for what, unit, scale in (("memory", "bytes", 1), ("compute", "ratio", 100))
        for kind, field in _AMOUNTS.items()
    }
    return {
        **amounts,
        "gpushare_tenant_shares": each(lambda quota: quota.shares),
        "gpushare_tenant_gpu_hours": each(lambda quota: quota.hours),
        "gpushare_tenant_gpu_hours_limit": each(lambda quota: quota.gpu_hours),
        "gpushare_tenant_usage_gpu_hours": each(lambda quota: quota.usage),
    }


# The kind in the metric's name, and the field of `QuotaView` that has its value.
_AMOUNTS = {
    "guaranteed": "guaranteed",
    "limit": "limit",
    "granted": "used",
    "borrowed": "borrowed",
}


def _amount(field: str, what: str, scale: int) -> Callable[[QuotaView], float | None]:
    def value(quota: QuotaView) -> float | None:
        amount: int | None = getattr(getattr(quota, field), what)
        return None if amount is None else amount / scale

    return value


# The former name of the tier is exposed for one release, like the former names of metrics.
_TIER_LABELS: Mapping[str, tuple[str, ...]] = {Tier.CHECKPOINT: (Tier.CHECKPOINT, "deep")}


def _moves(shares: Sequence[ShareView], field: str) -> list[Sample]:
    return [
        Sample(value=value, labels=(share.id, share.name, share.user, label))
        for share in shares
        for tier, moved in share.moved.items()
        if (value := getattr(moved, field)) is not None
        for label in _TIER_LABELS.get(tier, (tier,))
    ]


def _figure_of(share: ShareView, name: str) -> float | None:
    return None if share.scheduling is None else float(getattr(share.scheduling, name))


def _ratio(percent: int | None) -> float | None:
    return None if percent is None else percent / 100
