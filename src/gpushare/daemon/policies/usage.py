# SPDX-License-Identifier: Apache-2.0
"""Charges tenants for the GPUs, once a pass, by what a share uses or keeps from others.

A share is charged for the larger of its part of the memory and its part of the compute: taking
either leaves no other share room for both. Of each it is the guaranteed amount or, if the share
uses more, what it uses. Compute is measured where work is given in turns or held back. Elsewhere a
share that works and may take all that is left counts as one of as many such shares on the GPU.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from gpushare.daemon.observe.observer import Observer
from gpushare.guard import ShareSlot
from gpushare.guard.memo import Memo
from gpushare.hardware.ports import Clock
from gpushare.model.errors import GpushareError, NotFoundError
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Share, State
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL, Bytes, Seconds
from gpushare.store import Charge, Store

_HALF_LIVES = 10  # after so many, a thousandth is left: it may be forgotten
_NS = 1e9


class _Meter(NamedTuple):
    """`rate`: GPUs, from the newest look at share slots."""

    rate: float
    share_slots: Mapping[GpuId, ShareSlot]


class _Gpus(NamedTuple):
    """Of each GPU; see `rate`."""

    usable: Mapping[GpuId, Bytes]
    crowd: Mapping[GpuId, int]


class Accountant:
    """`run` is called once a pass, after shares have come and gone.

    `idle_since`: since when a share has used no GPU time; None: it is active, or unknown.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        observer: Observer,
        idle_since: Callable[[ShareId], datetime | None],
    ) -> None:
        self._store, self._clock, self._observer, self._idle_since = (
            store,
            clock,
            observer,
            idle_since,
        )
        self._meters: dict[ShareId, _Meter] = {}
        self._gpus = _Gpus({}, {})
        self._version: object = None  # of what the newest rates were made from
        self._worked = True  # a share did, by the newest rates
        self._newest: dict[ShareId, float] = {}
        # The rates by which shares were charged last, and their sums.
        self._charged: Mapping[ShareId, float] | None = None
        self._totals: Mapping[Tenant, float] = {}
        self._known_rates: Memo[ShareId, float] = Memo()
        self._last: float | None = None
        self._forgotten_at = 0.0

    async def run(self, machine: Machine) -> list[GpushareError]:
        """The errors; what could not be written or measured is charged by a later pass."""
        try:
            # Without a look at the GPUs there is no measure of a share. Meters stay, so a later
            # pass charges it.
            if machine.gpus:
                self._charge(machine)
        except GpushareError as error:
            return [error]
        return []

    def _charge(self, machine: Machine) -> None:
        now, at = self._clock.elapsed(), self._clock.now()
        holding = [share for share in self._store.shares.living() if share.state.holds]
        rates = self._rates(machine, holding, now)
        if rates is self._charged:
            charges = list(self._again(self._since_last(now), at))
        else:
            charges = [*self._ended(holding, now, at), *self._held(holding, rates, now, at)]
        if charges:
            self._store.usage.add(charges, at)
        if rates is not self._charged:
            self._remember(holding, rates)
        self._last = now
        self._forget(now)

    def _again(self, seconds: float, at: datetime) -> Iterator[Charge]:
        """The same shares had the same rates for so many seconds more."""
        for tenant, rate in self._totals.items():
            yield from cut(tenant, at, seconds, rate)

    def _remember(self, holding: Sequence[Share], rates: Mapping[ShareId, float]) -> None:
        last, totals = self._observer.last, defaultdict[Tenant, float](float)
        for share in holding:
            totals[share.tenant] += rates[share.id]
        self._meters = {it.id: _Meter(rates[it.id], last(it.id).share_slots) for it in holding}
        self._charged, self._totals = rates, totals

    def _held(
        self, holding: Sequence[Share], rates: Mapping[ShareId, float], now: float, at: datetime
    ) -> Iterator[Charge]:
        """One charge for all shares of a tenant that were charged the last time together."""
        sums: defaultdict[tuple[Tenant, float], float] = defaultdict(float)
        for share in holding:
            known = share.id in self._meters
            seconds = self._since_last(now) if known else self._unseen(share, now, at)
            sums[share.tenant, seconds] += rates[share.id]
        for (tenant, seconds), rate in sums.items():
            yield from cut(tenant, at, seconds, rate)

    def _unseen(self, share: Share, now: float, at: datetime) -> float:
        """Seconds that a share has had its place, when this daemon sees it first.

        The place was not free while no daemon ran, so that time is charged as well, but not longer
        than the machine has been up.
        """
        until = self._store.usage.until()
        since = share.granted or share.started or at
        # Up to `until` an earlier daemon has charged the share.
        since_known = max(since, until) if until and self._last is None else since
        longest = now if self._last is None else now - self._last
        return min(longest, max(0.0, (at - since_known).total_seconds()))

    def _ended(self, holding: Sequence[Share], now: float, at: datetime) -> Iterator[Charge]:
        """What shares had between the last pass and their end."""
        for gone in self._meters.keys() - {share.id for share in holding}:
            try:
                share = self._store.shares.get(gone)
            # Ended shares are forgotten after a while (`Shares.forget_old`); their last seconds are
            # then lost.
            except NotFoundError:
                continue
            meter = self._meters[gone]
            over = (at - share.ended).total_seconds() if share.ended else 0.0
            seconds = max(0.0, self._since_last(now) - max(0.0, over))
            yield from cut(share.tenant, at - timedelta(seconds=over), seconds, meter.rate)

    def _rates(
        self, machine: Machine, holding: Sequence[Share], now: float
    ) -> dict[ShareId, float]:
        idle = [self._idle_since(share.id) is not None for share in holding]
        usable = {gpu.uuid: gpu.usable for gpu in machine.gpus if not gpu.health.lost}
        version = self._store.generation, self._observer.generation, idle, usable
        # A share that worked is charged for what it did since the last pass, so a second pass with
        # the same observations makes the rates again.
        if version == self._version and not self._worked:
            return self._newest
        self._version = version
        present = [share for share in holding if share.suspension is None]
        taken = {share.id: self._taken(share, now) for share in present}
        self._worked = any(any(parts.values()) for parts in taken.values())
        gpus = _Gpus(usable, dict(crowd_of(present, taken)))
        # The same object while it is equal, which is quick to compare with for each share.
        self._gpus = gpus = self._gpus if gpus == self._gpus else gpus
        rates = dict.fromkeys((share.id for share in holding), 0.0)
        for share in present:
            rates[share.id] = self._rate(share, gpus, taken[share.id])
        self._known_rates.keep(rates)
        self._newest = rates
        return rates

    def _rate(self, share: Share, gpus: "_Gpus", taken: Mapping[GpuId, float]) -> float:
        used = self._observer.last(share.id).used

        def made() -> float:
            alone = any(promise.alone for promise in self._observer.stack(share))
            return rate(share, gpus.usable, gpus.crowd, used=used, taken=taken, alone=alone)

        return self._known_rates.of(share.id, (share.decision, gpus, used, taken), made)

    def _taken(self, share: Share, now: float) -> dict[GpuId, float]:
        """The part of each GPU's time that the share had since the last pass, where known."""
        if share.state is not State.RUNNING or self._idle_since(share.id) is not None:
            return dict.fromkeys([grant.gpu for grant in _grants(share)], 0.0)
        meter, share_slots = self._meters.get(share.id), self._observer.last(share.id).share_slots
        # The same object: no counter has grown.
        if meter is None or meter.share_slots is share_slots:
            return {}
        parts = (
            (gpu, had(meter.share_slots[gpu], slot, self._since_last(now)))
            for gpu, slot in share_slots.items()
            if gpu in meter.share_slots
        )
        return {gpu: part for gpu, part in parts if part is not None}

    def _since_last(self, now: float) -> float:
        return 0.0 if self._last is None else now - self._last

    def _forget(self, now: float) -> None:
        if now - self._forgotten_at >= timedelta(days=1).total_seconds():
            policy = self._store.policy.current()
            longest = max(policy.period, _HALF_LIVES * policy.half_life)
            self._store.usage.forget(Seconds(longest))
            self._forgotten_at = now


def had(before: ShareSlot, now: ShareSlot, seconds: float) -> float | None:
    """The part of the time in which a share had its GPU, between two looks; None: not measured.

    Programs can write these counters; a tenant that forges them still pays for its guarantees.
    """
    if seconds <= 0:
        return None
    if now.wanted_ns > before.wanted_ns:
        taken = now.open_ns + now.overrun_ns - before.open_ns - before.overrun_ns
    elif now.busy_ns > before.busy_ns:
        taken = now.busy_ns - before.busy_ns
    else:
        return None
    return max(0.0, min(1.0, taken / _NS / seconds))


def rate(
    share: Share,
    usable: Mapping[GpuId, Bytes],
    crowd: Mapping[GpuId, int],
    *,
    used: Mapping[GpuId, Bytes] = {},
    taken: Mapping[GpuId, float] = {},
    alone: bool = False,
) -> float:
    """How many GPUs the share is as good as, from 0 to the number of its own.

    `usable`: bytes on each GPU that works. `crowd`: shares on it that take the compute that is
    left and are not measured. `used`: bytes that the share uses. `taken`: the part of each GPU's
    time that it had, where measured. `alone`: no other share can be on its GPUs.
    """

    def memory(grant: GpuGrant) -> float:
        held = max(grant.request, used.get(grant.gpu, 0))
        return held / usable[grant.gpu] if usable[grant.gpu] else 0.0

    def compute(grant: GpuGrant) -> float:
        if _takes_rest(grant) and grant.gpu not in taken:
            return 1 / crowd[grant.gpu]
        return max(grant.compute_request / FULL, taken.get(grant.gpu, 0.0))

    return sum(
        1.0 if alone else min(1.0, max(memory(grant), compute(grant)))
        for grant in _grants(share)
        if grant.gpu in usable
    )


def crowd_of(
    present: Iterable[Share], taken: Mapping[ShareId, Mapping[GpuId, float]] = {}
) -> Counter[GpuId]:
    """On each GPU, how many shares take the compute that is left and are not measured."""
    return Counter(
        grant.gpu
        for share in present
        for grant in _grants(share)
        if _takes_rest(grant) and grant.gpu not in taken.get(share.id, {})
    )


def _takes_rest(grant: GpuGrant) -> bool:
    return grant.compute == FULL and grant.compute_request == 0


def _grants(share: Share) -> tuple[GpuGrant, ...]:
    return share.decision.grants if share.decision else ()


def cut(tenant: Tenant, until: datetime, seconds: float, rate: float) -> Iterator[Charge]:
    """Charges for so many seconds before a time, one for each hour that they reach into."""
    while seconds > 0 and rate > 0:
        # Usage is kept by the hour (ADR 0023), so a charge is cut where the hour changes.
        into = until.timestamp() % 3600 or 3600.0
        piece = min(seconds, into)
        begin = until - timedelta(seconds=piece)
        yield Charge(tenant=tenant, at=begin + (until - begin) / 2, seconds=piece * rate)
        until, seconds = begin, seconds - piece


def rolled_up(policy: Policy, sums: Mapping[Tenant, float]) -> dict[Tenant, float]:
    """With the sums of each tenant's children added to it."""
    totals: defaultdict[Tenant, float] = defaultdict(float)
    for tenant, amount in sums.items():
        for above in policy.line(tenant):
            totals[above] += amount
    return dict(totals)
