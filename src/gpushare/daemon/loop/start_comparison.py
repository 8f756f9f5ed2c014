# SPDX-License-Identifier: Apache-2.0
"""Compares the records with the machine, once, before the first pass.

What is found is repaired where that disturbs no program, and always reported: as an event, in the
log and in the audit log, and in `notices` for operators.

| contradiction | what is done |
|---|---|
| programs run in a share that the records do not know | its limits count as in use |
| a share has no region, and no program | the region is made again |
| a region has other limits than the records | the limits of the records are written |
| a share has no region, but programs | the share has a fault; no program can enter it |

Interrupted acts are left to the journal. Each step reads files without waiting for their owners.
"""

from collections.abc import Callable, Iterable

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.unknown_shares import UnknownShares
from gpushare.model.errors import GpushareError
from gpushare.model.share import Share
from gpushare.store import Store

_LIMITS = "limits"  # the check of `Guard.prove`


class StartComparison:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        unknown: UnknownShares,
        forget: Callable[[Share], None],
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._unknown, self._forget = unknown, forget
        self._said: list[str] = []

    async def run(self) -> None:
        """Errors of one share do not keep the others from being compared."""
        await self._unknown.look()
        for notice in self._unknown.notices():
            self._bus.publish("state.lost", notice)
        busy = {intent.share for intent in self._store.intents.pending()}
        for share in self._store.shares.living():
            if share.state.holds and share.id not in busy:
                await self._compare(share)

    def add(self, losses: Iterable[str]) -> None:
        """What was found when the state was opened."""
        self._said.extend(losses)

    def notices(self) -> tuple[str, ...]:
        """What was found at this start, and what still lasts."""
        return (*self._said, *self._unknown.notices())

    async def _compare(self, share: Share) -> None:
        try:
            done = await in_own_thread(self._repaired, share)
        except GpushareError as error:
            done = f"cannot be compared: {error}"
        if done:
            self._forget(share)
            self._said.append(f"share {share.name} ({share.id}): {done}")
            self._bus.publish("state.repaired", done, share=share.id)

    def _repaired(self, share: Share) -> str:
        """What was wrong and what was done; empty if records and machine agree."""
        mechanisms = self._ports.mechanisms
        if problem := mechanisms.problem(share):
            if any(self._ports.processes.alive(process) for process in share.members):
                return f"{problem}, and programs of it run: end them"
            mechanisms.renew(share)
            return f"{problem}; it was made again"
        wrong = [it for it in mechanisms.prove(share) if it.name == _LIMITS and not it.ok]
        if wrong:
            mechanisms.restore(share)
            return f"{wrong[0].evidence}; what was granted is written again"
        return ""
