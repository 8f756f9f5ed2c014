# SPDX-License-Identifier: Apache-2.0
"""One pass of the loop that makes the machine and the recorded state agree.

A pass runs every few seconds, and sooner when a process ends or a time is due. In this order it

1. finishes or undoes acts that a crash or an error cut short (the journal);
2. repairs MPS daemons, reads Xids, looks at the machine, and observes every share once;
3. settles each living share: a queued share whose holder has ended is released; a share whose time
   is over is stopped; a share with processes is running; a share without any ends, or becomes
   granted again if a holder keeps it;
4. compares what guards count with what the driver counts (`EscapeWatch`);
5. serves the queue and gives back what was reclaimed (`PlacementService.advance`);
6. forgets what it knew of shares that have ended.

Invariants:
- The caller holds the daemon's lock, so one pass or one request changes shares at a time.
- A pass is idempotent and may be cut short at any point: whatever it has not done, the next pass
  does. What must survive the daemon is in the store; the rest is found again by looking.
- One share's error, or the driver's, does not keep the pass from the other shares: it is collected
  and returned.
- A share with an unconfirmed act in the journal is left alone until the act is settled.
"""

import asyncio
from collections.abc import Awaitable

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.policies.expiry import Expiry
from gpushare.hardware.linux.census import Census
from gpushare.model.errors import GpushareError
from gpushare.model.share import ProcessRef, Share, State
from gpushare.store import Store

from .escapes import EscapeWatch
from .faults import Faults
from .monitor import Monitor

_AT_ONCE = 0.001  # seconds: Xids that have come already
_MEND_EVERY = 5.0  # seconds; a look starts the MPS control tool


class Reconciler:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        executor: Executor,
        observer: Observer,
        machine: ObservedMachine,
        processes: ShareProcesses,
        termination: Termination,
        expiry: Expiry,
        faults: Faults,
        escapes: EscapeWatch,
        monitor: Monitor,
        placement: PlacementService,
    ) -> None:
        self._store, self._ports, self._bus, self._executor = store, ports, bus, executor
        self._observer, self._machine, self._processes = observer, machine, processes
        self._termination, self._expiry, self._faults = termination, expiry, faults
        self._escapes, self._monitor, self._placement = escapes, monitor, placement
        self._mend_at = 0.0

    async def run(self) -> list[GpushareError]:
        """One pass; the errors in it. Idempotent, and may be cut short at any point."""
        errors: list[GpushareError] = []

        async def attempt(work: Awaitable[None]) -> None:
            try:
                await work
            except GpushareError as error:
                errors.append(error)

        # The journal first: every later step reads records that an interrupted act may contradict.
        await self._executor.recover()
        await attempt(self._mend())
        # Before shares are settled, so that a share whose programs an Xid has ended ends as failed.
        await attempt(self._faults.hear_xids(_AT_ONCE))
        await attempt(self._machine.refresh())
        self._faults.notice_gpus()
        census = await asyncio.to_thread(self._ports.census)
        living = self._store.shares.living()
        await self._observer.look(living)
        await attempt(self._monitor.look(living))
        busy = self._executor.busy()
        for share in living:
            if share.id not in busy:
                await attempt(self._settle(share, census))
        await attempt(self._escapes.run())
        await attempt(self._placement.advance())
        self._forget()
        return errors

    async def _settle(self, share: Share, census: Census) -> None:
        # A new daemon inherits shares and has watched none of their processes yet.
        if share.holder and share.holder in census:
            self._processes.watch(share.holder)
        if share.state is State.QUEUED:
            if share.holder and share.holder not in census:
                await self._release(share, "its program ended while it was queued")
            return
        share = self._faults.notice_share(share)
        processes = self._look(share, census)
        if self._expiry.over(share) and self._termination.reason(share.id) is None:
            await self._termination.stop(share, "its time is over")
        elif processes:
            self._continue(share, processes)
        else:
            await self._settle_empty(share, census)

    def _look(self, share: Share, census: Census) -> tuple[ProcessRef, ...]:
        """The share's processes; searched thoroughly before a running share is called empty."""
        observed = self._observer.last(share.id)
        processes = self._processes.look(share, census, observed)
        if processes or share.state not in {State.RUNNING, State.SUSPENDED}:
            return processes
        # Reading the environment of every process is slow, so a pass does it only before it calls a
        # share empty: it finds orphans that are in neither the process tree nor the control group.
        return self._processes.search(share, census, observed)

    def _continue(self, share: Share, processes: tuple[ProcessRef, ...]) -> None:
        if share.state is State.GRANTED:
            self._executor.mark_running(share)
        self._termination.kill_overdue(share.id, processes)

    async def _settle_empty(self, share: Share, census: Census) -> None:
        """No process is left: the share ends unless a holder keeps it."""
        if (reason := self._termination.reason(share.id)) is not None:
            await self._release(share, reason)
        elif share.holder is not None and share.holder not in census:
            await self._release(share, "its program ended")
        # A held share without programs would otherwise keep its place on a GPU that is gone.
        elif share.reason and self._faults.on_lost_gpu(share):
            await self._release(share, share.reason)
        elif share.state is State.RUNNING:
            with self._store.transaction():
                self._store.shares.move(share.id, State.GRANTED, members=())
                self._bus.publish("share.empty", "its last program ended", share=share.id)
        elif share.members:
            self._store.shares.update(share.id, members=())

    async def _release(self, share: Share, reason: str) -> None:
        await self._executor.release(share, State.RELEASED, reason)

    async def _mend(self) -> None:
        now = self._ports.clock.elapsed()
        if now < self._mend_at:
            return
        self._mend_at = now + _MEND_EVERY
        for repair in await asyncio.to_thread(self._ports.mechanisms.mend):
            self._bus.publish("mps.restarted", repair)

    def _forget(self) -> None:
        living = self._store.shares.living()
        self._observer.keep(living)
        kept = {share.id for share in living}
        self._expiry.keep(kept)
        self._termination.keep(kept)
        self._processes.keep(kept)
        self._store.shares.forget_old()
