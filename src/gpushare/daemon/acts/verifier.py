# SPDX-License-Identifier: Apache-2.0
"""Verifies that a mechanism stack keeps its promise under this driver, once per boot."""

from functools import partial

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
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
        """The verification of the share's stack, from this boot or new; None: it failed to run.

        Raises NotEnforcedError if the stack does not hold and the share does not allow that.
        """
        assert share.decision is not None
        driver = (await in_own_thread(self._ports.gpus.driver)).version
        stack = verified_stack(share.decision)
        earlier = self._store.verifications.get(self._ports.boot, driver, stack)
        # Only a complete success is stored: the rest is tried again with the next share.
        if earlier is not None and earlier.ok:
            return earlier
        verification = await self._try(share, edits)
        if verification is not None and verification.ok and not verification.untried:
            self._store.verifications.put(self._ports.boot, driver, stack, verification)
        return verification

    async def probe(self, share: Share, edits: Edits, *, fill: bool = False) -> Verification:
        """Try to break this share."""
        run = partial(in_own_thread, self._ports.probe, share, edits, fill=fill)
        verification = await self._observer.probing(share, run)
        self._bus.publish(_event(verification), _summary(verification), share=share.id)
        return verification

    async def _try(self, share: Share, edits: Edits) -> Verification | None:
        allowed = share.spec.allow_unverified
        try:
            verification = await self.probe(share, edits)
        except GpushareError:
            if allowed:
                return None
            raise
        if verification.ok or allowed:
            return verification
        assert share.decision is not None
        by, broken = "+".join(share.decision.mechanisms), verification.broken
        raise NotEnforcedError(
            f"{by} does not keep its promise here"
            if broken
            else f"{by} could not be verified here",
            _summary(verification),
            "to run anyway: --allow-unverified",
        )


def verified_stack(decision: Decision) -> tuple[str, ...]:
    """What a verification covers: the stack, and whether it includes a compute limit."""
    limited = any(grant.compute < FULL for grant in decision.grants)
    return (*decision.mechanisms, *(["compute"] if limited else []))


def _event(verification: Verification) -> str:
    if verification.ok:
        return "share.verified"
    return "share.verification_failed" if verification.broken else "share.verification_untried"


def _summary(verification: Verification) -> str:
    broken = [
        f"{f.dimension}: promised {f.promised}, delivered {f.delivered} ({f.evidence})"
        for f in verification.broken
    ]
    if broken:
        return "; ".join(broken)
    untried = [f"{f.dimension} could not be tried ({f.evidence})" for f in verification.untried]
    if verification.ok:
        return "; ".join(untried) or "every promise that was tried is kept"
    return "; ".join(dict.fromkeys(f.evidence for f in verification.untried))
