# SPDX-License-Identifier: Apache-2.0
"""One pass of the loop that makes the machine and the recorded state agree.

A pass runs every few seconds, and sooner when a process ends or a time is due. In this order it

1. looks: repairs MPS daemons, reads Xids, looks at the machine, and observes every share once;
2. begins to finish or undo acts that a crash or an error cut short (the journal);
3. settles each living share: a queued share whose holder has ended is released; a share whose time
   is over is stopped; a share with processes is running; a share without any ends, or becomes
   granted again if a holder keeps it;
4. compares what guards count with what the driver counts (`EscapeWatch`);
5. serves the queue and gives back what was reclaimed (`PlacementService.advance`);
6. forgets what it knew of shares that have ended.

Invariants:
- Only the first step takes time. Each later step is a plain function: it reads the records again
  and changes them without a pause, and what takes time it begins as an act in progress.
- A pass is idempotent and may be cut short at any point: whatever it has not done, the next pass
  does. What must survive the daemon is in the store; the rest is found again by looking.
- One share's error, or the driver's, does not keep the pass from the other shares, whatever the
  error is: it is collected and returned.
- A share with an act that is in progress or not confirmed is left alone until the act is settled,
  except that its time may end.
- What was looked at is a moment old: a process that is missing from it is looked for again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.peers import Peers
from gpushare.daemon.acts.program_ends import ProgramEnds
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.policies.expiry import Expiry
from gpushare.hardware.linux.census import Census
from gpushare.model.errors import GpushareError, unexpected
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import ProcessRef, Share, State
from gpushare.store import Store

from .auto_cordons import AutoCordons
from .escapes import EscapeWatch
from .faults import Faults
from .monitor import Monitor

_AT_ONCE = 0.001  # seconds: Xids that have come already
_log = structlog.get_logger()
_SETTLED_AT_ONCE = 32  # shares
_MEND_EVERY = 5.0  # seconds; a look starts the MPS control tool
_FORGET_EVERY = 60.0  # seconds, while no record of a share changes


class Reconciler:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        executor: Executor,
        acts: ActsInProgress,
        peers: Peers,
        observer: Observer,
        machine: ObservedMachine,
        processes: ShareProcesses,
        termination: Termination,
        expiry: Expiry,
        faults: Faults,
        auto_cordons: AutoCordons,
        escapes: EscapeWatch,
        monitor: Monitor,
        placement: PlacementService,
        ends: ProgramEnds,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._executor, self._acts, self._peers = executor, acts, peers
        self._observer, self._machine, self._processes = observer, machine, processes
        self._termination, self._expiry, self._faults = termination, expiry, faults
        self._auto_cordons = auto_cordons
        self._escapes, self._monitor, self._placement = escapes, monitor, placement
        self._ends = ends
        self._mend_at = self._forget_at = 0.0
        self._forgotten = -1  # the records after which what has ended was forgotten
        self._rests: dict[ShareId, tuple[Share, object]] = {}  # the record, what was observed
        self._lost = set[GpuId]()  # when they came to rest

    async def run(self) -> list[GpushareError]:
        """One pass; the errors in it. Idempotent, and may be cut short at any point."""
        errors: list[GpushareError] = []
        census = await self._observe(errors)
        # The journal first: every later step reads records that an interrupted act may contradict.
        _attempt(errors, self._executor.recover)
        for number, share in enumerate(self._unsettled(census)):
            _attempt(errors, partial(self._settle, share.id, census))
            # Between some shares other requests go on; a round of the loop costs as much as one.
            if number % _SETTLED_AT_ONCE == 0:
                await asyncio.sleep(0)
        _attempt(errors, self._escapes.run)
        _attempt(errors, self._placement.advance)
        _attempt(errors, self._forget)
        return errors + self._acts.take_errors()

    async def _observe(self, errors: list[GpushareError]) -> Census:
        async def attempt(work: Awaitable[None]) -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 (the next step does not depend on it)
                errors.append(_reported(error))

        await attempt(self._mend())
        # Before shares are settled, so that a share whose programs an Xid has ended ends as failed.
        await attempt(self._faults.hear_xids(_AT_ONCE))
        await attempt(self._machine.refresh())
        _attempt(errors, self._faults.notice_gpus)
        _attempt(errors, self._auto_cordons.run)
        census = await asyncio.to_thread(self._ports.census)
        living = self._store.shares.living()
        await attempt(self._observer.look(living))
        await attempt(self._monitor.look(living))
        await attempt(self._peers.admit())
        return census

    def _unsettled(self, census: Census) -> list[Share]:
        """Shares of which something may have changed since they were settled and came to rest."""
        news = self._processes.news(census) | self._executor.busy() | {*self._termination.leaving()}
        living, last, rests = self._store.shares.living(), self._observer.last, self._rests
        if lost := self._faults.lost != self._lost:
            self._lost = self._faults.lost
        return [
            share
            for share in living
            if lost or share.id in news or rests.get(share.id) != (share, last(share.id))
        ]

    def _settle(self, share_id: ShareId, census: Census) -> None:
        self._rests.pop(share_id, None)
        share = self._store.shares.get(share_id)
        if share.state.ended:
            return
        # A new daemon inherits shares and has watched none of their processes yet.
        if share.holder and share.holder in census:
            self._processes.watch_holder(share.holder)
        if self._executor.is_busy(share.id):
            self._settle_busy(share, census)
            return
        if share.state is State.QUEUED:
            if self._gone(share.holder or share.waiter, census):
                self._release(share, "its program ended while it was queued")
            return
        share = self._ends.notice(self._faults.notice_share(share))
        processes = self._termination.left(share, self._look(share, census))
        if self._over(share):
            self._termination.stop(share, "its time is over")
        elif processes:
            self._continue(share, processes)
        else:
            self._settle_empty(share, census)

    def _settle_busy(self, share: Share, census: Census) -> None:
        """The end of a share does not wait for an act that waits for its programs."""
        if not share.state.holds:
            return
        if self._over(share):
            self._termination.stop(share, "its time is over")
        elif share.state is State.DAMAGED:
            self._settle_damaged(share, census)
        elif self._termination.reason(share.id) is not None:
            self._termination.kill_overdue(share, self._look(share, census))

    def _settle_damaged(self, share: Share, census: Census) -> None:
        """It ends as others do, once no process is left in it that could use a GPU."""
        processes = self._termination.left(share, self._look(share, census))
        reason = self._termination.reason(share.id)
        if processes:
            if reason is not None:
                self._termination.kill_overdue(share, processes)
        elif self._acts.of(share.id) is None and (reason or self._gone(share.holder, census)):
            self._acts.report(self._executor.abandon(share, reason or "its program ended"))

    def _over(self, share: Share) -> bool:
        return self._expiry.over(share) and self._termination.reason(share.id) is None

    def _gone(self, process: ProcessRef | None, census: Census) -> bool:
        """Whether it has ended; one that began after the census was taken has not."""
        if process is None or process in census:
            return False
        return not self._ports.processes.alive(process)

    def _look(self, share: Share, census: Census) -> tuple[ProcessRef, ...]:
        """The share's processes; searched thoroughly before a running share is called empty."""
        observed = self._observer.last(share.id)
        processes = self._processes.look(share, census, observed)
        searched = {State.RUNNING, State.SUSPENDED, State.DAMAGED}
        if processes or share.state not in searched:
            return processes
        # Reading the environment of every process is slow, so a pass does it only before it calls a
        # share empty: it finds orphans that are in neither the process tree nor the control group.
        return self._processes.search(share, census, observed)

    def _continue(self, share: Share, processes: tuple[ProcessRef, ...]) -> None:
        if share.state is State.GRANTED:
            self._executor.mark_running(share)
        self._termination.kill_overdue(share, processes)
        watched = share.holder is None or share.end is not None or share.holder in processes
        if watched and share.expires is None and self._processes.all_watched(share.id):
            self._rests[share.id] = share, self._observer.last(share.id)

    def _settle_empty(self, share: Share, census: Census) -> None:
        """No process is left: the share ends unless a holder keeps it."""
        if (reason := self._termination.reason(share.id)) is not None:
            self._release(share, reason)
        elif self._gone(share.holder, census):
            self._release(share, "its program ended")
        # A held share without programs would otherwise keep its place on a GPU that is gone.
        elif share.reason and self._faults.on_lost_gpu(share):
            self._release(share, share.reason)
        elif share.state is State.RUNNING:
            with self._store.transaction():
                self._store.shares.move(share.id, State.GRANTED, members=(), entered=())
                self._bus.publish("share.empty", "its last program ended", share=share.id)
        elif share.members:
            self._store.shares.update(share.id, members=(), entered=())

    def _release(self, share: Share, reason: str) -> None:
        self._acts.report(self._executor.release(share, State.RELEASED, reason))

    async def _mend(self) -> None:
        now = self._ports.clock.elapsed()
        if now < self._mend_at:
            return
        self._mend_at = now + _MEND_EVERY
        for repair in await in_own_thread(self._ports.mechanisms.mend):
            self._bus.publish("mps.restarted", repair)
        await self._forget_strangers()

    async def _forget_strangers(self) -> None:
        """Shares that only an earlier state knew must not fill up what shares have in common."""
        holding = await asyncio.to_thread(self._ports.mechanisms.shares)
        # The state is read last: no id becomes known later, so what is unknown now stays so.
        unknown = holding - {share.id for share in self._store.shares.living()}
        if freed := await asyncio.to_thread(self._ports.mechanisms.forget, unknown):
            # Their number, not their names: every user of a GPU can write its page.
            what = f"slots on GPU pages of {len(freed)} shares that do not exist"
            self._bus.publish("leftover.cleaned", what)

    def _forget(self) -> None:
        version, now = self._store.shares.generation, self._ports.clock.elapsed()
        if version == self._forgotten and now < self._forget_at:
            return
        living = self._store.shares.living()
        self._observer.keep(living)
        kept = {share.id for share in living}
        for ended in self._rests.keys() - kept:
            del self._rests[ended]
        self._expiry.keep(kept)
        self._termination.keep(kept)
        self._processes.keep(living)
        self._store.shares.forget_old(self._ends.bounds, self._ports.clock.now())
        self._forgotten, self._forget_at = version, now + _FORGET_EVERY


def _attempt(errors: list[GpushareError], step: Callable[[], object]) -> None:
    """One step of a pass; its trouble, of whatever type, does not keep the pass from the others."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 (collected)
        errors.append(_reported(error))


def _reported(error: Exception) -> GpushareError:
    if not isinstance(error, GpushareError):
        _log.error("pass.broken", exc_info=error)
    return unexpected("a step of a pass failed", error)
