# SPDX-License-Identifier: Apache-2.0
"""Suspends and resumes shares, including those that take turns."""

import asyncio

from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.share import Cause, Share, Suspension, Tier
from gpushare.model.units import Bytes
from gpushare.store import Store

from .transitions import Transitions


class SuspendService:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        transitions: Transitions,
        observer: Observer,
        processes: ShareProcesses,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._transitions, self._observer, self._processes = transitions, observer, processes

    async def suspend(self, share: Share, tier: Tier, seconds: float, cause: Cause) -> None:
        """Off the GPU; raises as `Transitions.suspend` does."""
        if share.suspension is not None:
            await self._set_aside(share, cause)
            return
        pids = [process.pid for process in await self._processes.now(share)]
        observed = self._observer.last(share.id)
        share = await self._transitions.suspend(share, tier, pids, observed, seconds, cause=cause)
        # The answer to this call may use an observation of the last half second, which would be
        # from before the move.
        await self._observer.look([share])

    async def resume(self, share: Share, seconds: float) -> None:
        """Back on the GPU, or waiting for its turn; raises as `Transitions.resume` does."""
        assert share.suspension is not None
        if share.spec.turns:
            # Its memory comes back with its next turn (`MemoryTurns`), not now: another share may
            # have the place.
            waiting = replace(share.suspension, cause=Cause.TURN)
            self._store.shares.update(share.id, suspension=waiting)
            return
        pids = [process.pid for process in await self._processes.now(share)]
        await self._transitions.resume(share, pids, seconds)

    async def _set_aside(self, share: Share, cause: Cause) -> None:
        """It waits for its turn, so it has left the GPU, or is leaving.

        Its region asks again, so that memory that was allowed to stay leaves too.
        """
        await asyncio.to_thread(self._ports.mechanisms.resume, share)
        await asyncio.to_thread(self._ports.mechanisms.suspend, share, Bytes(0))
        suspension = Suspension(cause=cause, since=self._ports.clock.now())
        with self._store.transaction():
            self._store.shares.update(share.id, suspension=suspension)
            self._bus.publish("share.suspended", "it was waiting for its turn", share=share.id)
