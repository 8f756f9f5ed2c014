# SPDX-License-Identifier: Apache-2.0
"""What the mechanisms observe of each share, never older than requested."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.guard.memo import Memo
from gpushare.mechanisms.mechanism import Observation
from gpushare.mechanisms.stack import Looks
from gpushare.model.errors import GpushareError, unexpected
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Promise
from gpushare.model.share import Share
from gpushare.model.units import Bytes

from .compute_delivered import ComputeDelivered

T = TypeVar("T")
_log = structlog.get_logger()
_UNOBSERVED = Observation()


class Observer:
    """`last` does not count what the probe was refused, because the probe provokes refusals.

    `machine`: the newest look at it, which bounds what regions say. `generation` grows when what is
    observed of a share changes; until then `last` is the same object.
    """

    def __init__(self, ports: HostPorts, machine: Callable[[], Machine] = Machine) -> None:
        self._ports, self._machine = ports, machine
        self._observations: dict[ShareId, tuple[float, Observation]] = {}
        self._probed: dict[ShareId, int] = {}
        self._probing: Counter[ShareId] = Counter()
        self._glances: dict[frozenset[ShareId], asyncio.Task[None]] = {}
        self._bounded: Memo[ShareId, Observation] = Memo()
        self.generation = 0
        self.compute_delivered = ComputeDelivered()

    def last(self, share: ShareId) -> Observation:
        """The newest observation; empty for a share that was not observed yet."""
        known = self._observations.get(share)
        observation = known[1] if known else _UNOBSERVED
        # What the probe that runs is refused is only known at its end.
        if self._probing.get(share):
            return replace(observation, denied=None)
        if observation.denied is None or share not in self._probed:
            return observation
        return replace(observation, denied=max(0, observation.denied - self._probed[share]))

    def stack(self, share: Share) -> tuple[Promise, ...]:
        """What the share's mechanisms promise."""
        return self._ports.mechanisms.stack(share)

    async def probing(self, share: Share, probe: Callable[[], Awaitable[T]]) -> T:
        """Run a probe of the share and count what it was refused."""
        # Observed past the cache on both sides, so that the difference is the probe's as far as
        # possible.
        before = await in_own_thread(self._observe_alone, share)
        self._probing[share.id] += 1
        try:
            result = await probe()
        finally:
            self._probing[share.id] -= 1
        after = (await in_own_thread(self._observe_alone, share)).denied or 0
        refused = max(0, after - (before.denied or 0))
        self._probed[share.id] = self._probed.get(share.id, 0) + refused
        # Without it the peak of the share's programs would be the limit, which a probe fills.
        with suppress(GpushareError):
            await in_own_thread(self._ports.mechanisms.put_peak, share, before.peak)
        return result

    async def look(self, shares: Sequence[Share], *, age: float = 0) -> None:
        """Observe each share that was not observed within `age` seconds."""
        if stale := self._stale(shares, age):
            await self._look(stale)

    async def glance(self, shares: Sequence[Share], *, age: float, seconds: float) -> None:
        """As `look`, but does not wait for what takes longer; `last` is then what was known.

        Callers who come while the same shares are looked at wait for that look.
        """
        stale = self._stale(shares, age)
        if not stale:
            return
        key = frozenset(share.id for share in stale)
        if key not in self._glances:
            self._glances[key] = look = asyncio.create_task(self._look(stale))
            look.add_done_callback(lambda _: self._glances.pop(key))
        await asyncio.wait([self._glances[key]], timeout=seconds)

    def _stale(self, shares: Sequence[Share], age: float) -> list[Share]:
        fresh = self._ports.clock.elapsed() - age
        return [s for s in shares if s.state.holds and self._at(s.id) <= fresh]

    async def _look(self, shares: Sequence[Share]) -> None:
        found = await in_own_thread(self._observe, shares)
        for share, (at, observation) in found.items():
            before = self._observations.get(share)
            same = before[1] if before and before[1] == observation else None
            self.generation += same is None
            self._observations[share] = at, same or observation
            self.compute_delivered.add(share, at, (same or observation).share_slots)

    def keep(self, shares: Sequence[Share]) -> None:
        """Forget every other share."""
        living = {share.id for share in shares}
        for ended in [share for share in self._observations if share not in living]:
            del self._observations[ended]
        self._probed = {share: n for share, n in self._probed.items() if share in living}
        self._bounded.keep(living)
        self.compute_delivered.keep(living)

    def _at(self, share: ShareId) -> float:
        known = self._observations.get(share)
        return known[0] if known else float("-inf")

    def _observe(self, shares: Sequence[Share]) -> dict[ShareId, tuple[float, Observation]]:
        looks, most, now = Looks(), _most(self._machine()), self._ports.clock.elapsed
        return {share.id: (now(), self._observe_one(share, looks, most)) for share in shares}

    def _observe_alone(self, share: Share) -> Observation:
        return self._observe([share])[share.id][1]

    def _observe_one(self, share: Share, looks: Looks, most: Mapping[GpuId, Bytes]) -> Observation:
        try:
            seen = self._ports.mechanisms.observe(share, looks)
            return self._bounded.of(share.id, (seen, most), lambda: bounded(seen, most))
        except GpushareError as error:
            _log.warning("share.unseen", share=share.id, error=str(error))
            # One share that cannot be observed must not keep the pass from the others.
            return Observation(fault=str(error))
        except Exception as error:  # noqa: BLE001 (the same)
            _log.exception("share.unseen", share=share.id)
            return Observation(fault=str(unexpected("the share cannot be observed", error)))


def _most(machine: Machine) -> dict[GpuId, Bytes]:
    return {gpu.uuid: gpu.memory_total for gpu in machine.gpus if gpu.memory_total}


def bounded(observed: Observation, most: Mapping[GpuId, Bytes]) -> Observation:
    """Without numbers that no GPU can reach: the tenant can write any into its region.

    `most`: the memory of each GPU.
    """

    def bound(values: dict[GpuId, Bytes]) -> dict[GpuId, Bytes]:
        return {gpu: min(value, most.get(gpu, value)) for gpu, value in values.items()}

    used, peak = bound(observed.used), bound(observed.peak)
    wrong = (g for g in used if used[g] != observed.used[g] or peak.get(g) != observed.peak.get(g))
    cached = None if observed.cached is None else Bytes(min(observed.cached, sum(used.values())))
    return replace(observed, used=used, peak=peak, cached=cached, impossible=tuple(wrong))
