# SPDX-License-Identifier: Apache-2.0
"""The loop that makes the machine and the records agree again."""

import asyncio
import signal
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

import structlog

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.acts.suspend import SuspendService
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.placement import Placement
from gpushare.daemon.placement.reclaimer import Reclaimer
from gpushare.hardware.linux.census import Census
from gpushare.hardware.ports import Xid
from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import shared_fault
from gpushare.model.share import ProcessRef, Share, State
from gpushare.model.units import format_bytes
from gpushare.store import Store

from .monitor import Monitor

GRACE_SECONDS = 10
# Xids that end a program under MPS end all of them; these end every program on the GPU anyway.
_REACH_ALL = frozenset({48, 79, 95, 109})
# Records of memory repair (63, 64, 92), and of a program that was killed (45): nobody else's harm.
_REACH_NOBODY = frozenset({45, 63, 64, 92})
_AT_ONCE = 0.001
_MEND_EVERY = 5.0  # seconds; a look starts the MPS control tool
_log = structlog.get_logger()


@dataclass(frozen=True)
class Stop:
    """A share that is being ended: its programs were asked, and are killed at `kill_at`."""

    kill_at: float
    reason: str


class Reconciler:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        executor: Executor,
        *,
        transitions: Transitions,
        observer: Observer,
        turn_seconds: float,
    ) -> None:
        self._store, self._ports, self._bus, self._executor = store, ports, bus, executor
        self._wake = asyncio.Event()
        self._deadlines: dict[ShareId, float] = {}
        self._stopping: dict[ShareId, Stop] = {}
        self._lost: set[GpuId] = set()
        self._over: set[tuple[ShareId, GpuId]] = set()
        self._mend_at = 0.0
        self.members = ShareProcesses(ports, self._member_ended)
        self.observer = observer
        turns = MemoryTurns(store, ports, bus, self.observer, turn_seconds)
        self.suspending = SuspendService(
            store,
            ports,
            bus,
            transitions=transitions,
            observer=self.observer,
            processes=self.processes,
        )
        reclaimer = Reclaimer(
            store,
            ports,
            bus,
            executor=executor,
            transitions=transitions,
            suspending=self.suspending,
            processes=self.processes,
            stop=self.stop,
            leaving=self._stopping.keys,
        )
        self.placement = Placement(
            store,
            ports,
            executor,
            self.members,
            observer=self.observer,
            turns=turns,
            reclaimer=reclaimer,
        )
        self.monitor = Monitor(
            store,
            ports,
            bus,
            members=self.members,
            observer=self.observer,
            placement=self.placement,
        )

    async def rest(self, seconds: float) -> None:
        """Wait for the next pass: `seconds`, or until a process or a share's time ends.

        Not by wait_for(): before Python 3.12 it forgets a cancellation that meets the bell
        (cpython issue 86296), and the daemon would go on after SIGTERM.
        """
        try:
            async with asyncio.timeout(self._due(seconds)):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def run(self) -> list[GpushareError]:
        """One pass; what went wrong in it. Idempotent, and may be cut short at any point.

        One share's trouble, or the driver's, does not keep the others from what they need.
        """
        wrong: list[GpushareError] = []

        async def attempt(work: Awaitable[None]) -> None:
            try:
                await work
            except GpushareError as error:
                wrong.append(error)

        await self._executor.recover()
        await attempt(self._mend())
        await attempt(self.hear_xids(_AT_ONCE))
        await attempt(self.placement.refresh())
        self._notice_gpus(self.placement.machine.gpus)
        census = await asyncio.to_thread(self._ports.census)
        living = self._store.shares.living()
        await self.observer.look(living)
        await attempt(self.monitor.look(living))
        busy = self._executor.busy()
        for share in living:
            if share.id not in busy:
                await attempt(self._settle(share, census))
        await attempt(self.placement.advance())
        self._forget()
        return wrong

    async def stop(self, share: Share, reason: str) -> None:
        """End the share: GPU work in order, programs by SIGTERM and, after the grace, SIGKILL."""
        await self._executor.recover()
        share = self._store.shares.get(share.id)
        processes = await self.processes(share)
        if share.state.ended:
            return
        if not processes:
            await self._release(share, reason)
            return
        if share.id in self._stopping:
            return
        kill_at = self._ports.clock.elapsed() + GRACE_SECONDS
        self._stopping[share.id] = Stop(kill_at, reason)
        try:
            pids = [process.pid for process in processes]
            await asyncio.to_thread(self._ports.mechanisms.drain, share, pids)
        except GpushareError as error:
            _log.warning("drain.failed", share=share.id, error=str(error))
        self._signal(processes, signal.SIGTERM)

    async def hear_xids(self, seconds: float) -> None:
        """Wait for critical errors and tell them; takes no turn, to be ahead of programs' ends."""
        for xid in await asyncio.to_thread(self._ports.gpus.xids, seconds):
            self.notice_xid(xid)

    def notice_xid(self, xid: Xid) -> None:
        """Say whom a critical error reaches."""
        gpus = {gpu.uuid: gpu.index for gpu in self.placement.machine.gpus}
        said = f"Xid {xid.code} on GPU {gpus.get(xid.gpu, xid.gpu)}"
        self._bus.publish("gpu.xid", said, gpu=xid.gpu)
        if xid.code in _REACH_NOBODY:
            return
        for share in self._store.shares.living():
            decision = share.decision if share.state.holds else None
            if decision is None or xid.gpu not in decision.gpus:
                continue
            if xid.code in _REACH_ALL:
                self._fault(share, f"{said} ended every program on it")
            elif under := shared_fault(self._ports.mechanisms.stack(share)):
                self._fault(share, f"{said}: a fault ends every program under {under} on the GPU")

    async def processes(self, share: Share) -> tuple[ProcessRef, ...]:
        """All of the share's processes, looked for anew."""
        await self.observer.look([share])
        census = await asyncio.to_thread(self._ports.census)
        return self.members.search(share, census, self.observer.last(share.id))

    def _member_ended(self, _: ShareId) -> None:
        self._wake.set()

    async def _settle(self, share: Share, census: Census) -> None:
        if share.holder and share.holder in census:
            self.members.watch(share, share.holder)
        if share.state is State.QUEUED:
            if share.holder and share.holder not in census:
                await self._release(share, "its program ended while it was queued")
            return
        share = self._notice_faults(share)
        processes = self._found(share, census)
        if self._expired(share) and share.id not in self._stopping:
            await self.stop(share, "its time is over")
        elif processes:
            self._goes_on(share, processes)
        else:
            await self._empty(share, census)

    def _found(self, share: Share, census: Census) -> tuple[ProcessRef, ...]:
        seen = self.observer.last(share.id)
        found = self.members.look(share, census, seen)
        if found or share.state not in {State.RUNNING, State.SUSPENDED}:
            return found
        return self.members.search(share, census, seen)

    def _goes_on(self, share: Share, processes: tuple[ProcessRef, ...]) -> None:
        if share.state is State.GRANTED:
            self.mark_running(share)
        self._notice_excess(share, {process.pid for process in processes})
        stop = self._stopping.get(share.id)
        if stop and self._ports.clock.elapsed() >= stop.kill_at:
            self._signal(processes, signal.SIGKILL)

    def _notice_excess(self, share: Share, pids: set[int]) -> None:
        """Compare with the driver's own count: it also sees programs that the guard does not."""
        grants = share.decision.grants if share.decision else ()
        limits = {grant.gpu: grant.limit for grant in grants}
        for gpu in self.placement.machine.gpus:
            held = sum(p.memory or 0 for p in gpu.processes if p.pid in pids)
            if held <= limits.get(gpu.uuid, held):
                self._over.discard((share.id, gpu.uuid))
            elif (share.id, gpu.uuid) not in self._over:
                self._over.add((share.id, gpu.uuid))
                said = f"holds {format_bytes(held)} of GPU {gpu.index}, above its limit"
                self._bus.publish("share.over_limit", said, share=share.id, gpu=gpu.uuid)

    def mark_running(self, share: Share, **changes: object) -> Share:
        started = share.started or self._ports.clock.now()
        with self._store.transaction():
            if share.state is State.GRANTED:
                self._bus.publish("share.running", "its first program runs", share=share.id)
            to = State.SUSPENDED if share.suspension else State.RUNNING
            return self._store.shares.move(share.id, to, started=started, **changes)

    def new_deadline(self, share: Share) -> None:
        """The share's time has been changed."""
        self._deadlines.pop(share.id, None)

    async def _empty(self, share: Share, census: Census) -> None:
        """No process is left: the share ends unless someone holds it."""
        if share.id in self._stopping:
            await self._release(share, self._stopping[share.id].reason)
        elif share.holder is not None and share.holder not in census:
            await self._release(share, "its program ended")
        elif share.reason and self._on_lost_gpu(share):
            await self._release(share, share.reason)
        elif share.state is State.RUNNING:
            with self._store.transaction():
                self._store.shares.move(share.id, State.GRANTED, members=())
                self._bus.publish("share.empty", "its last program ended", share=share.id)
        elif share.members:
            self._store.shares.update(share.id, members=())

    def _signal(self, processes: Iterable[ProcessRef], number: signal.Signals) -> None:
        for process in processes:
            self._ports.signal(process, number)

    async def _release(self, share: Share, reason: str) -> None:
        await self._executor.release(share, State.RELEASED, reason)

    def _expired(self, share: Share) -> bool:
        """Measured by a clock that nobody can set, from when the share was first seen here."""
        if share.expires is None:
            return False
        left = (share.expires - self._ports.clock.now()).total_seconds()
        now = self._ports.clock.elapsed()
        return now >= self._deadlines.setdefault(share.id, now + left)

    async def _mend(self) -> None:
        now = self._ports.clock.elapsed()
        if now < self._mend_at:
            return
        self._mend_at = now + _MEND_EVERY
        for done in await asyncio.to_thread(self._ports.mechanisms.mend):
            self._bus.publish("mps.restarted", done)

    def _notice_gpus(self, gpus: tuple[Gpu, ...]) -> None:
        lost = {gpu.uuid for gpu in gpus if gpu.health.lost}
        for gpu in gpus:
            if gpu.uuid in lost - self._lost:
                self._bus.publish("gpu.lost", f"GPU {gpu.index} is lost", gpu=gpu.uuid)
            elif gpu.uuid in self._lost - lost:
                self._bus.publish("gpu.recovered", f"GPU {gpu.index} is back", gpu=gpu.uuid)
        self._lost = lost

    def _notice_faults(self, share: Share) -> Share:
        fault = self.observer.last(share.id).fault
        if not fault and self._on_lost_gpu(share):
            fault = "a GPU of the share is lost"
        return self._fault(share, fault) if fault and fault != share.reason else share

    def _fault(self, share: Share, fault: str) -> Share:
        self._executor.forget(share.id)
        with self._store.transaction():
            self._bus.publish("share.fault", fault, share=share.id)
            return self._store.shares.update(share.id, reason=fault)

    def _on_lost_gpu(self, share: Share) -> bool:
        return share.decision is not None and not self._lost.isdisjoint(share.decision.gpus)

    def _due(self, seconds: float) -> float:
        now = self._ports.clock.elapsed()
        times = (*self._deadlines.values(), *(stop.kill_at for stop in self._stopping.values()))
        begins = self.placement.begins()
        until = [(begins - self._ports.clock.now()).total_seconds()] if begins else []
        return max(0.0, min([seconds, *until, *(time - now for time in times if time > now)]))

    def _forget(self) -> None:
        living = self._store.shares.living()
        self.observer.keep(living)
        kept = {share.id for share in living}
        for book in (self._deadlines, self._stopping):
            for gone in book.keys() - kept:
                del book[gone]
        self.members.keep(kept)
        self._over = {(share, gpu) for share, gpu in self._over if share in kept}
        self._store.shares.forget_old()
