# SPDX-License-Identifier: Apache-2.0
"""Who has had how much of the GPUs: charged once a pass, by what a share keeps from others or uses.

A share is charged for the larger of its part of the memory and its part of the compute: whoever
takes either away leaves nobody else room for both. Memory is what is guaranteed to it. Compute is
what is guaranteed to it or, where it got more, what it got; one that may take all that is left and
is not measured counts as one of as many such shares as there are on the GPU.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gpushare.model.errors import NotFoundError
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.tenant import Policy
from gpushare.model.units import FULL, Bytes, Percent, Seconds
from gpushare.store import Charge, Store

from .clock import Clock
from .observer import Observer

_HALF_LIVES = 10  # after so many, a thousandth is left: it may be forgotten


@dataclass(frozen=True)
class _Meter:
    """`paid`: by the clock that never jumps. `rate`: GPUs, from the newest look."""

    paid: float
    rate: float


class Accountant:
    """`charge` is called once a pass, after shares have come and gone."""

    def __init__(self, store: Store, clock: Clock, observer: Observer) -> None:
        self._store, self._clock, self._observer = store, clock, observer
        self._meters: dict[ShareId, _Meter] = {}
        self._last: float | None = None
        self._forgotten_at = 0.0

    async def charge(self, machine: Machine) -> None:
        """Raises StateError; what cannot be written, or measured, is charged by a later pass."""
        if not machine.gpus:
            return
        now, at = self._clock.elapsed(), self._clock.now()
        holding = [share for share in self._store.shares.living() if share.state.holds]
        rates = self._rates(machine, holding)
        charges = [*self._ended(holding, at), *self._held(holding, rates, now, at)]
        if charges:
            self._store.usage.add(charges, at)
        self._meters = {share.id: _Meter(now, rates[share.id]) for share in holding}
        self._last = now
        self._forget(now)

    def _held(
        self, holding: Sequence[Share], rates: Mapping[ShareId, float], now: float, at: datetime
    ) -> Iterator[Charge]:
        for share in holding:
            meter = self._meters.get(share.id)
            seconds = now - meter.paid if meter else self._unseen(share, now, at)
            yield from cut(share.tenant, at, seconds, rates[share.id])

    def _unseen(self, share: Share, now: float, at: datetime) -> float:
        """Seconds that a share has had its place, when this daemon meets it first.

        While no daemon ran nobody could take the place away, so it is charged as well; but not for
        longer than the machine is up.
        """
        until = self._store.usage.until()
        since = share.granted or share.started or at
        known = max(since, until) if until and self._last is None else since
        longest = now if self._last is None else now - self._last
        return min(longest, max(0.0, (at - known).total_seconds()))

    def _ended(self, holding: Sequence[Share], at: datetime) -> Iterator[Charge]:
        """What shares had between the last pass and their end."""
        for gone in self._meters.keys() - {share.id for share in holding}:
            try:
                share = self._store.shares.get(gone)
            except NotFoundError:
                continue
            meter = self._meters[gone]
            passed = self._clock.elapsed() - meter.paid
            over = (at - share.ended).total_seconds() if share.ended else 0.0
            seconds = max(0.0, passed - max(0.0, over))
            yield from cut(share.tenant, at - timedelta(seconds=over), seconds, meter.rate)

    def _rates(self, machine: Machine, holding: Sequence[Share]) -> dict[ShareId, float]:
        usable = {gpu.uuid: gpu.usable for gpu in machine.gpus if not gpu.health.lost}
        present = [share for share in holding if share.suspension is None]
        crowd = Counter(grant.gpu for s in present for grant in _grants(s) if _takes_rest(grant))
        rates = dict.fromkeys((share.id for share in holding), 0.0)
        for share in present:
            delivered = self._observer.delivery.percent(share.id)
            rates[share.id] = rate(share, usable, crowd, delivered)
        return rates

    def _forget(self, now: float) -> None:
        if now - self._forgotten_at >= timedelta(days=1).total_seconds():
            policy = self._store.policy.current()
            longest = max(policy.period, _HALF_LIVES * policy.half_life)
            self._store.usage.forget(Seconds(longest))
            self._forgotten_at = now


def rate(
    share: Share,
    usable: Mapping[GpuId, Bytes],
    crowd: Mapping[GpuId, int],
    delivered: Percent | None,
) -> float:
    """How many GPUs the share is as good as, from 0 to the number of its own.

    `usable`: bytes on each GPU that works. `crowd`: shares on it that take the compute that is
    left. `delivered`: compute the share got; None: not measured.
    """
    alone = share.decision is not None and MechanismName.EXCLUSIVE in share.decision.mechanisms
    return sum(
        1.0 if alone else _fraction(grant, usable[grant.gpu], crowd[grant.gpu], delivered)
        for grant in _grants(share)
        if grant.gpu in usable
    )


def _fraction(grant: GpuGrant, usable: Bytes, crowd: int, delivered: Percent | None) -> float:
    memory = grant.request / usable if usable else 0.0
    if delivered is None and _takes_rest(grant):
        compute = 1 / crowd
    else:
        compute = max(grant.compute_request, delivered or 0) / FULL
    return min(1.0, max(memory, compute))


def _takes_rest(grant: GpuGrant) -> bool:
    return grant.compute == FULL and grant.compute_request == 0


def _grants(share: Share) -> tuple[GpuGrant, ...]:
    return share.decision.grants if share.decision else ()


def cut(tenant: Tenant, until: datetime, seconds: float, rate: float) -> Iterator[Charge]:
    """Charges for so many seconds before a time, one for each hour that they reach into."""
    while seconds > 0 and rate > 0:
        into = until.timestamp() % 3600 or 3600.0
        piece = min(seconds, into)
        begin = until - timedelta(seconds=piece)
        yield Charge(tenant=tenant, at=begin + (until - begin) / 2, seconds=piece * rate)
        until, seconds = begin, seconds - piece


def rolled_up(policy: Policy, sums: Mapping[Tenant, float]) -> dict[Tenant, float]:
    """With what is of a tenant's children counted for it too."""
    found: defaultdict[Tenant, float] = defaultdict(float)
    for tenant, amount in sums.items():
        for above in policy.line(tenant):
            found[above] += amount
    return dict(found)
