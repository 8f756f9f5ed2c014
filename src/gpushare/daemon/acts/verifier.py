# SPDX-License-Identifier: Apache-2.0
"""Proof that a mechanism stack keeps its promise under this driver, once per boot."""

import asyncio

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.model.edits import Edits
from gpushare.model.errors import GpushareError, NotEnforcedError
from gpushare.model.share import Decision, Share, Verification
from gpushare.model.units import FULL
from gpushare.store import Store


class Verifier:
    def __init__(self, store: Store, ports: HostPorts, bus: Bus, observer: Observer) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._observer = observer

    async def verify(self, share: Share, edits: Edits) -> Verification | None:
        """The proof of the share's stack, from this boot or made now; None: it could not be tried.

        Raises NotEnforcedError when the stack does not hold and the share does not allow that.
        """
        assert share.decision is not None
        driver = (await asyncio.to_thread(self._ports.gpus.driver)).version
        stack = verified_stack(share.decision)
        known = self._store.verifications.get(self._ports.boot, driver, stack)
        if known is not None and known.ok:
            return known
        found = await self._try(share, edits)
        if found is not None and found.ok:
            self._store.verifications.put(self._ports.boot, driver, stack, found)
        return found

    async def probe(self, share: Share, edits: Edits, *, fill: bool = False) -> Verification:
        """Try to break this very share."""
        run = asyncio.to_thread(self._ports.probe, share, edits, fill=fill)
        found = await self._observer.probing(share, run)
        kind = "share.verified" if found.ok else "share.verification_failed"
        self._bus.publish(kind, _summary(found), share=share.id)
        return found

    async def _try(self, share: Share, edits: Edits) -> Verification | None:
        allowed = share.spec.allow_unverified
        try:
            found = await self.probe(share, edits)
        except GpushareError:
            if allowed:
                return None
            raise
        if found.ok or allowed:
            return found
        assert share.decision is not None
        raise NotEnforcedError(
            f"{'+'.join(share.decision.mechanisms)} does not keep its promise here",
            _summary(found),
            "run it all the same: --allow-unverified",
        )


def verified_stack(decision: Decision) -> tuple[str, ...]:
    """What a proof is about: the stack, and whether it had to hold a compute limit."""
    limited = any(grant.compute < FULL for grant in decision.grants)
    return (*decision.mechanisms, *(["compute"] if limited else []))


def _summary(found: Verification) -> str:
    said = [
        f"{f.dimension}: promised {f.promised}, delivered {f.delivered} ({f.evidence})"
        for f in found.findings
        if not f.ok
    ]
    return "; ".join(said) or "every promise is kept"
