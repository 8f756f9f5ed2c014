# SPDX-License-Identifier: Apache-2.0
"""Proves living shares again: at most one in each pass, the longest unproven first.

A proof only reads (`Mechanisms.prove`, and what `EscapeWatch` has found), so programs do not notice
it. Its result and its time are part of the share's record.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.model.errors import GpushareError
from gpushare.model.share import Proof, ProofCheck, Share
from gpushare.store import Store

_NEVER = datetime.min.replace(tzinfo=UTC)


class Proofs:
    """`interval`: seconds after which a share is proved again; 0: never."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        executor: Executor,
        interval: Callable[[], float],
    ) -> None:
        self._store, self._ports, self._bus, self._executor = store, ports, bus, executor
        self._interval = interval

    async def run(self) -> list[GpushareError]:
        """Once a pass; the errors in it."""
        share = self._due()
        if share is None:
            return []
        try:
            checks = await in_own_thread(self._ports.mechanisms.prove, share)
        except GpushareError as error:
            checks = (ProofCheck(name="machine", ok=None, evidence=str(error)),)
        self._record(share, checks)
        return []

    def _due(self) -> Share | None:
        if not self._interval():
            return None
        busy, living = self._executor.busy(), self._store.shares.living()
        holding = [share for share in living if share.state.holds and share.id not in busy]
        longest = min(holding, key=_proved, default=None)
        return longest if longest and self._waits(longest) else None

    def _waits(self, share: Share) -> bool:
        unproved = self._ports.clock.now() - _proved(share)
        return unproved >= timedelta(seconds=self._interval())

    def _record(self, share: Share, checks: tuple[ProofCheck, ...]) -> None:
        share = self._store.shares.get(share.id)
        # It may have ended, or begun to change, while the machine was read.
        if not share.state.holds or share.id in self._executor.busy():
            return
        before, escape = share.proof, share.escape
        if escape is not None and escape.active:
            checks = (*checks, ProofCheck(name="use", ok=False, evidence=escape.text))
        proof = Proof(at=self._ports.clock.now(), checks=checks)
        with self._store.transaction():
            self._store.shares.note(share.id, proof)
            if not proof.ok and (before is None or before.ok):
                self._bus.publish("share.proof_failed", proof.text, share=share.id)


def _proved(share: Share) -> datetime:
    return share.proof.at if share.proof else _NEVER
