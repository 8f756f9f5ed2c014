# SPDX-License-Identifier: Apache-2.0
"""Notices limits that do not hold, in each pass, and does what the policy says about them.

A cause counts when two looks in a row show it, a second apart: a process that ends may be listed by
the driver for a moment longer than its guard counts it.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.gpu_use import GpuUse, ShareUse
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.escape import EscapeCause, EscapeKind, EscapePeriod
from gpushare.model.gpu import GpuProcess
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Promise, while_escaped
from gpushare.model.share import Enforcement, Share
from gpushare.model.units import Bytes
from gpushare.store import Store

from .escape_acts import EscapeActs

_AGAIN = 1.0  # seconds until what was seen once is looked at again
_ENTERED = 2.0  # seconds after which a process that entered is looked at

_Same = tuple[EscapeKind, GpuId, int | None]


class EscapeWatch:
    """`wake` begins a pass early."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        machine: ObservedMachine,
        observer: Observer,
        processes: ShareProcesses,
        executor: Executor,
        acts: EscapeActs,
        wake: asyncio.Event,
    ) -> None:
        self._store, self._ports, self._bus, self._acts = store, ports, bus, acts
        self._machine, self._observer, self._processes = machine, observer, processes
        self._executor, self._wake = executor, wake
        self._seen: dict[ShareId, set[_Same]] = {}
        self._reported: dict[ShareId, set[_Same]] = {}
        self._beyond: dict[ShareId, dict[GpuId, Bytes | None]] = {}
        self._uncounted: dict[ShareId, dict[GpuId, Bytes | None]] = {}
        self._looked_at: tuple[object, object, list[tuple[object, ...]]] = None, None, []
        self._alike = 0  # looks in a row that were made of the same as the one before
        self._due = 0.0  # when the loop is woken next, by its own time

    def uncounted(self, share: ShareId) -> dict[GpuId, Bytes | None]:
        """Memory per GPU that the driver counts and no guard does, at the last look; None:
        unknown."""
        return self._uncounted.get(share, {})

    def entered(self) -> None:
        """A process has entered a share: look soon what it became."""
        self._look_in(_ENTERED)

    def run(self) -> None:
        """Once a pass, after the driver was asked and the regions were read."""
        busy = self._executor.busy()
        living = [share for share in self._store.shares.living() if share.state.holds]
        if self._nothing_new(living, busy):
            return
        uses, gpu_use = self._look(living)
        for use in uses:
            memory = gpu_use.memory(use)
            self._count(use.share.id, _beyond(memory, use.observed.used))
            if use.share.id not in busy and gpu_use.known(use):
                self._settle(use, gpu_use, memory)
        self._keep({share.id for share in living})

    async def now(self, share: Share) -> tuple[EscapeCause, ...]:
        """What shows now that limits of the share do not hold, from a new look."""
        await self._machine.refresh()
        living = [other for other in self._store.shares.living() if other.state.holds]
        await self._observer.look(living)
        await self._processes.now(share)
        uses, gpu_use = self._look(living)
        mine = next((use for use in uses if use.share.id == share.id), None)
        if mine is None or not gpu_use.known(mine):
            return ()
        return tuple(cause for cause in gpu_use.causes(mine) if _weakens(mine, cause))

    def stack(self, share: Share) -> tuple[Promise, ...]:
        """What the share's mechanisms promise."""
        return self._observer.stack(share)

    async def on_gpus(self, share: Share) -> tuple[int, ...]:
        """Processes of the share that may use a GPU now, from a new look.

        All of them where the driver does not say which do, or while they are off the GPU.
        """
        await self._machine.refresh()
        processes = {process.pid for process in await self._processes.now(share)}
        listed, gpus = self._listed(), share.decision.gpus if share.decision else ()
        if share.suspension is None and set(gpus) <= listed.keys():
            processes &= {process.pid for some in listed.values() for process in some}
        return tuple(sorted(processes))

    def _look(self, living: Sequence[Share]) -> tuple[list[ShareUse], GpuUse]:
        listed = self._listed()
        pids = {process.pid for processes in listed.values() for process in processes}
        uses = [self._use(share, pids) for share in living]
        return uses, GpuUse(self._machine.latest.gpus, listed, uses)

    def _nothing_new(self, living: Sequence[Share], busy: AbstractSet[ShareId]) -> bool:
        """Whether the two last looks were made of the same: another one would find the same.

        Acts on an escape that lasts are repeated.
        """
        gpus = [(gpu.uuid, gpu.parent, gpu.compute_mode) for gpu in self._machine.latest.gpus]
        version = self._store.generation, self._observer.generation, self._processes.version
        common, before = (busy, self._listed(), gpus), self._looked_at
        # Much that is observed of a share decides nothing here, such as what it launches.
        facts = before[2] if version == before[1] else [self._facts(share) for share in living]
        same = common == before[0] and facts == before[2]
        self._alike = self._alike + 1 if same else 0
        self._looked_at = common, version, facts
        return self._alike > 1 and not any(it.escape and it.escape.active for it in living)

    def _facts(self, share: Share) -> tuple[object, ...]:
        """All of a share that a look depends on."""
        seen = self._observer.last(share.id)
        return (
            *(share.id, share.decision, share.kept, share.escape, self._processes.shown(share)),
            *(seen.used, seen.counted, seen.impossible, seen.unreadable),
        )

    def _listed(self) -> dict[GpuId, Sequence[GpuProcess]]:
        lists = {
            gpu.uuid: self._ports.listed(gpu)
            for gpu in self._machine.latest.gpus
            if not gpu.health.lost
        }
        return {gpu: processes for gpu, processes in lists.items() if processes is not None}

    def _use(self, share: Share, on_gpus: AbstractSet[int]) -> ShareUse:
        observed = self._observer.last(share.id)
        pids = {process.pid for process in self._processes.shown(share)} & on_gpus
        return ShareUse(
            share=share,
            stack=self._observer.stack(share),
            observed=observed,
            pids=pids,
        )

    def _settle(self, use: ShareUse, gpu_use: GpuUse, memory: Mapping[GpuId, Bytes | None]) -> None:
        share = self._lowered(use.share, memory)
        causes = self._sure(share, gpu_use.causes(use))
        self._report(share, causes)
        sure = tuple(cause for cause in causes if _weakens(use, cause))
        if sure:
            self._escaped(share, sure, use.pids)
        elif share.escape is not None and share.escape.active:
            self._ended(share, share.escape)

    def _count(self, share: ShareId, beyond: dict[GpuId, Bytes | None]) -> None:
        before, self._beyond[share] = self._beyond.get(share, {}), beyond
        # The smaller of two looks: another caller may have asked the driver after this pass read
        # the regions.
        self._uncounted[share] = {
            gpu: None if now is None else _least(now, before.get(gpu))
            for gpu, now in beyond.items()
        }

    def _sure(self, share: Share, found: Sequence[EscapeCause]) -> tuple[EscapeCause, ...]:
        """What was seen at the look before too."""
        before = self._seen.get(share.id)
        if before is None:  # a daemon that has started continues with what is recorded
            before = _recorded(share)
        self._seen[share.id] = {cause.same for cause in found}
        if self._seen[share.id] - before:
            self._look_in(_AGAIN)
        return tuple(cause for cause in found if cause.same in before)

    def _report(self, share: Share, causes: Iterable[EscapeCause]) -> None:
        """An event for each cause when it begins."""
        begun = {cause.same: cause for cause in causes}
        known = self._reported.setdefault(share.id, _recorded(share))
        for cause in (cause for same, cause in begun.items() if same not in known):
            over = cause.kind is EscapeKind.OVER_LIMIT
            kind = "share.over_limit" if over else "share.escaped"
            self._bus.publish(kind, cause.text, share=share.id, gpu=cause.gpu)
        self._reported[share.id] = set(begun)

    def _escaped(
        self, share: Share, causes: tuple[EscapeCause, ...], pids: Collection[int]
    ) -> None:
        period, now = share.escape, self._ports.clock.now()
        since = period.since if period is not None and period.active else now
        period = EscapePeriod(since=since, causes=causes)
        if share.escape != period:
            share = self._store.shares.update(share.id, escape=period)
        self._acts.act(share, self._store.policy.current().on_escape, pids)

    def _ended(self, share: Share, period: EscapePeriod) -> None:
        ended = EscapePeriod(
            since=period.since, causes=period.causes, until=self._ports.clock.now()
        )
        with self._store.transaction():
            self._store.shares.update(share.id, escape=ended)
            self._bus.publish("share.escape_ended", "its limits hold again", share=share.id)

    def _lowered(self, share: Share, memory: Mapping[GpuId, Bytes | None]) -> Share:
        """What it keeps above a lowered limit shrinks with what it has, and never grows again."""
        if not share.kept or share.decision is None:
            return share
        limits = {grant.gpu: grant.limit for grant in share.decision.grants}
        kept = {
            gpu: least
            for gpu, bound in share.kept.items()
            if (least := _least(bound, memory.get(gpu))) > limits.get(gpu, least)
        }
        return share if kept == share.kept else self._store.shares.update(share.id, kept=kept)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if not loop.time() < self._due <= loop.time() + seconds:
            self._due = loop.time() + seconds
            loop.call_later(seconds, self._wake.set)

    def _keep(self, living: Collection[ShareId]) -> None:
        for known in (self._seen, self._reported, self._beyond, self._uncounted):
            for share in known.keys() - living:
                known.pop(share)
        self._acts.keep(living)


def _recorded(share: Share) -> set[_Same]:
    active = share.escape is not None and share.escape.active
    return {cause.same for cause in share.escape.causes} if share.escape and active else set()


def _weakens(use: ShareUse, cause: EscapeCause) -> bool:
    """Whether a promise of the share depended on what was escaped."""
    promised = use.share.decision.enforcement if use.share.decision else Enforcement()
    return while_escaped(promised, use.stack, [cause]) != promised


def _least(one: Bytes, other: Bytes | None) -> Bytes:
    return one if other is None else min(one, other)


def _beyond(
    driver: Mapping[GpuId, Bytes | None], counted: Mapping[GpuId, Bytes]
) -> dict[GpuId, Bytes | None]:
    return {
        gpu: None if memory is None else Bytes(max(0, memory - counted.get(gpu, 0)))
        for gpu, memory in driver.items()
    }
