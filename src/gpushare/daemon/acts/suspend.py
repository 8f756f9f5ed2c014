# SPDX-License-Identifier: Apache-2.0
"""Suspends and resumes shares, including those that take turns."""

import asyncio

from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.observer import Observer
from gpushare.model.errors import HostMemoryError
from gpushare.model.share import Cause, Share, Suspension, Tier
from gpushare.model.units import Bytes
from gpushare.store import Store

from .in_progress import ActsInProgress, outcome
from .suspend_methods import why_no_host_memory
from .transitions import Transitions


class SuspendService:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        transitions: Transitions,
        acts: ActsInProgress,
        observer: Observer,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._transitions, self._acts = transitions, acts
        self._observer = observer

    async def suspend(self, share: Share, tier: Tier, seconds: float, cause: Cause) -> None:
        """Off the GPU; the share has no act in progress.

        Raises ConflictError, NotSuspendableError, and as `Transitions.suspend` does.
        """
        if share.suspension is not None:
            work = self._set_aside(share, cause)
            await outcome(self._acts.begin([share.id], "suspended", work))
            return
        await self._observer.look([share])
        self._acts.free(share)
        self._transitions.check(share, tier, self._observer.last(share.id))
        if tier is Tier.MEMORY:
            self._check_host_memory(share)
        await outcome(self._transitions.suspend(share, tier, seconds, cause))
        # The answer to this call may use an observation of the last half second, which would be
        # from before the move.
        await self._observer.look([share])

    def _check_host_memory(self, share: Share) -> None:
        """Raises HostMemoryError before anything moves, where it is certain to be too little."""
        # Another share that comes back gives memory back, and the guard waits for it.
        returning = set(self._acts.shares()) - {share.id}
        because = why_no_host_memory(self._observer.last(share.id))
        if because and not returning:
            raise HostMemoryError(
                f"share {share.name} cannot be suspended now",
                f"{because}; nothing has moved",
                "raise swap_memory, or resume or end suspended shares",
            )

    def begin_resume(self, share: Share, seconds: float) -> asyncio.Future[Share]:
        """Back on the GPU, or waiting for its turn; raises as `Transitions.resume` does.

        The share is suspended and has no act in progress.
        """
        assert share.suspension is not None
        if not share.spec.turns:
            return self._transitions.resume(share, seconds)
        # Its memory comes back with its next turn (`MemoryTurns`), not now: another share may have
        # the place.
        waiting = replace(share.suspension, cause=Cause.TURN)
        done = asyncio.get_running_loop().create_future()
        done.set_result(self._store.shares.update(share.id, suspension=waiting))
        return done

    async def _set_aside(self, share: Share, cause: Cause) -> None:
        """It waits for its turn, so it has left the GPU, or is leaving.

        Its region asks again, so that memory that was allowed to stay leaves too.
        """
        await in_own_thread(self._ports.mechanisms.resume, share)
        await in_own_thread(self._ports.mechanisms.suspend, share, Bytes(0))
        suspension = Suspension(cause=cause, since=self._ports.clock.now())
        with self._store.transaction():
            self._store.shares.update(share.id, suspension=suspension)
            self._bus.publish("share.suspended", "it was waiting for its turn", share=share.id)
