# SPDX-License-Identifier: Apache-2.0
"""What the mechanisms see of the shares, never older than asked for."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.promise import Promise
from gpushare.model.share import Share

from .compute_delivered import ComputeDelivered

T = TypeVar("T")
_log = structlog.get_logger()


class Observer:
    """`last` leaves out what the probe was refused: it tries to be."""

    def __init__(self, ports: HostPorts) -> None:
        self._ports = ports
        self._seen: dict[ShareId, tuple[float, Observation]] = {}
        self._probed: dict[ShareId, int] = {}
        self.delivery = ComputeDelivered()

    def last(self, share: ShareId) -> Observation:
        seen = self._seen[share][1] if share in self._seen else Observation()
        if seen.denied is None or share not in self._probed:
            return seen
        return replace(seen, denied=max(0, seen.denied - self._probed[share]))

    def stack(self, share: Share) -> tuple[Promise, ...]:
        """What the share's mechanisms promise."""
        return self._ports.mechanisms.stack(share)

    async def probing(self, share: Share, probe: Awaitable[T]) -> T:
        """Wait for a probe of the share and count what it was refused."""
        before = (await asyncio.to_thread(self._one, share)).denied or 0
        found = await probe
        after = (await asyncio.to_thread(self._one, share)).denied or 0
        self._probed[share.id] = self._probed.get(share.id, 0) + max(0, after - before)
        return found

    async def look(self, shares: Sequence[Share], *, age: float = 0) -> None:
        """Observe each share that was not observed within `age` seconds."""
        fresh = self._ports.clock.elapsed() - age
        due = [s for s in shares if s.state.holds and self._at(s.id) <= fresh]
        if due:
            self._seen |= await asyncio.to_thread(self._observe, due)
            for share in due:
                at, seen = self._seen[share.id]
                self.delivery.note(share.id, at, seen.share_slots)

    def keep(self, shares: Sequence[Share]) -> None:
        """Forget every other share."""
        living = {share.id for share in shares}
        self._seen = {share: seen for share, seen in self._seen.items() if share in living}
        self._probed = {share: n for share, n in self._probed.items() if share in living}
        self.delivery.keep(living)

    def _at(self, share: ShareId) -> float:
        return self._seen[share][0] if share in self._seen else float("-inf")

    def _observe(self, shares: Sequence[Share]) -> dict[ShareId, tuple[float, Observation]]:
        return {share.id: (self._ports.clock.elapsed(), self._one(share)) for share in shares}

    def _one(self, share: Share) -> Observation:
        try:
            return self._ports.mechanisms.observe(share)
        except GpushareError as error:
            _log.warning("share.unseen", share=share.id, error=str(error))
            return Observation(fault=str(error))
