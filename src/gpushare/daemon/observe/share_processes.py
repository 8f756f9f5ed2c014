# SPDX-License-Identifier: Apache-2.0
"""Finds the processes of a share, and wakes the loop when one of them ends.

A process belongs to a share by descent from one that entered, since it entered; by its control
group; by its entry in the share's region; or by the mark in its environment. The last is the
slowest and finds orphans. Belonging is for showing and waiting: which of them may be ended is
decided in `acts/signalling.py`.
"""

import asyncio
import os
from collections.abc import Collection, Iterable
from typing import NamedTuple

import structlog

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.hardware.linux.census import Census
from gpushare.mechanisms.guard.living_shares import MARK
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.ids import ShareId
from gpushare.model.share import Entered, ProcessRef, Share

from .observer import Observer

_log = structlog.get_logger()

# Of one share at the same time: each takes a descriptor, and a job may have thousands of processes.
# The end of the others is noticed by the next pass.
MOST_WATCHED = 32
FRESH_SECONDS = 0.5  # how old what is shown may be, of processes that no descriptor watches
_ALWAYS = float("inf")  # descriptors watch all of them


class _Shown(NamedTuple):
    """`until`: by the clock's `elapsed`. `members`: those of the record that was shown."""

    until: float
    members: tuple[ProcessRef, ...]
    processes: tuple[ProcessRef, ...]


class _Looked(NamedTuple):
    """What a look at a share was made of, and the pids that decide whether it is still right."""

    members: tuple[ProcessRef, ...]
    entered: tuple[Entered, ...]
    observed: tuple[int, ...]
    pids: frozenset[int]


class ShareProcesses:
    """`wake` is set when a watched process has ended. `generation` grows when what is shown of a
    share changes."""

    def __init__(self, ports: HostPorts, observer: Observer, wake: asyncio.Event) -> None:
        self._ports, self._observer, self._wake = ports, observer, wake
        self._watched: dict[ProcessRef, int] = {}
        self._of: dict[ShareId, set[ProcessRef]] = {}  # which of the watched belong to which share
        self._found: dict[ShareId, set[ProcessRef]] = {}
        self._descended: dict[ShareId, set[ProcessRef]] = {}
        self._holders: set[ProcessRef] = set()  # of those that are watched
        self._statuses: dict[ProcessRef, int | None] = {}  # of holders that have ended
        self._shown: dict[ShareId, _Shown] = {}
        self._known: dict[ShareId, tuple[ProcessRef, ...]] = {}
        self._unwatched: set[ShareId] = set()  # shares with processes that no descriptor watches
        self._looked: dict[ShareId, _Looked] = {}
        self._census: Census | None = None  # with which `_looked` agrees
        self._apart: set[ProcessRef] = set()  # in that census
        self._pids: tuple[list[tuple[ProcessRef, ...]], frozenset[int]] = [], frozenset()
        self.generation = 0

    def known(self, share: ShareId) -> tuple[ProcessRef, ...]:
        """As found by the newest look."""
        return self._known.get(share, ())

    def shown(self, share: Share) -> tuple[ProcessRef, ...]:
        """As found by the newest look, with those that entered since, less those that ended."""
        known = self._shown.get(share.id)
        if (
            known
            and known.members is share.members
            and (known.until == _ALWAYS or self._ports.clock.elapsed() <= known.until)
        ):
            return known.processes
        candidates = {*share.members, *self._found.get(share.id, ())}
        # The descriptor of a watched process tells its end.
        unwatched = candidates - self._watched.keys()
        living = (it for it in candidates if it not in unwatched or self.alive(it))
        processes = tuple(sorted(living, key=_pid))
        if known is None or known.processes != processes:
            self.generation += 1
        until = self._ports.clock.elapsed() + FRESH_SECONDS if unwatched else _ALWAYS
        (self._unwatched.add if unwatched else self._unwatched.discard)(share.id)
        self._shown[share.id] = _Shown(until, share.members, processes)
        return processes

    @property
    def version(self) -> tuple[int, float]:
        """Differs when what is shown may differ."""
        return self.generation, self._ports.clock.elapsed() if self._unwatched else 0.0

    def pids(self, shares: Iterable[Share]) -> frozenset[int]:
        """Of all that is shown of the shares; the same value while that does not change."""
        shown = [self.shown(share) for share in shares]
        if shown != self._pids[0]:
            self._pids = shown, frozenset(process.pid for some in shown for process in some)
        return self._pids[1]

    def descended(self, share: ShareId) -> set[ProcessRef]:
        """Those that entered and what they started since, as the kernel has shown it."""
        return self._descended.get(share, set())

    async def now(self, share: Share) -> tuple[ProcessRef, ...]:
        """All processes of the share, from a new observation and a new search."""
        return (await self.seen(share))[1]

    async def seen(self, share: Share) -> tuple[Census, tuple[ProcessRef, ...]]:
        """As `now`, with the census in which they were found."""
        await self._observer.look([share])
        census = await asyncio.to_thread(self._ports.census)
        return census, self.search(share, census, self._observer.last(share.id))

    def look(self, share: Share, census: Census, observed: Observation) -> tuple[ProcessRef, ...]:
        """Find processes by descent, control group and region, and watch each one.

        The tenant can write the region. So a process that the region names must belong to the
        share's user, and is not ended for that alone (`acts/signalling.py`).
        """
        self._compare(census)
        if self._unchanged(share, observed):
            return self.known(share.id)
        self._looked.pop(share.id, None)
        apart, roots = self._apart, self._roots(share)
        for other in apart:
            roots.pop(other, None)
        self._descended[share.id] = kin = census.descendants(roots)
        named = {it for pid in observed.pids if (it := census.find(pid))}
        # What descends from a process that entered needs no other proof.
        own = {it for it in named - kin - apart if self._owned(it, share)}
        if own:
            kin = census.descendants({it: it.started for it in own} | roots)
        # The census is a moment old: a process that has begun and entered since is not in it.
        later = {it for it in share.members if it not in census and self.alive(it)}
        processes = self._remember(share, (kin | later) - apart)
        pids = frozenset([process.pid for process in processes])
        # A pid that is not here yet, or is another user's, is looked for again in each pass.
        if not later and pids.issuperset(observed.pids):
            self._looked[share.id] = _Looked(share.members, share.entered, observed.pids, pids)
        return processes

    def _compare(self, census: Census) -> None:
        """Forget looks at shares of which this census may say something else."""
        if census is self._census:
            return
        before, self._census, self._apart = self._census, census, _apart(census)
        changed = census.changed(before) if before else set()
        looked = self._looked.items()
        for share in [it for it, look in looked if before is None or look.pids & changed]:
            del self._looked[share]

    def _unchanged(self, share: Share, observed: Observation) -> bool:
        """Whether another look would find what the last one did."""
        look = self._looked.get(share.id)
        return look is not None and look[:3] == (share.members, share.entered, observed.pids)

    def news(self, census: Census) -> set[ShareId]:
        """Shares of which this census, or the end of a process, may say something new."""
        self._compare(census)
        return self._found.keys() - self._looked.keys()

    def all_watched(self, share: ShareId) -> bool:
        """Whether the end of every process of the share wakes the loop."""
        return share in self._looked and self._found[share] <= self._watched.keys()

    def search(self, share: Share, census: Census, observed: Observation) -> tuple[ProcessRef, ...]:
        """As `look`, and by the mark in the environment: finds orphans without a control group."""
        self.look(share, census, observed)
        marked = census.marked(MARK, share.id, share.uid) - self._apart
        return self._remember(share, marked | self._found[share.id])

    def watch_holder(self, process: ProcessRef) -> None:
        """As `watch`; afterwards `status` says how it ended."""
        if process not in self._statuses:
            self._holders.add(process)
            self.watch(process)

    def watched(self, holder: ProcessRef) -> bool:
        """Whether it was watched when it ended, so that its status is known if it can be known."""
        return holder in self._statuses or holder in self._watched

    def watches(self, process: ProcessRef | None) -> bool:
        """Whether it lives, as far as is known by now: its end wakes the loop."""
        return process in self._watched

    def status(self, holder: ProcessRef) -> int | None:
        """How a holder ended, as waitpid(2) reports it; None: not known."""
        if (descriptor := self._watched.get(holder)) is not None:
            return self._ports.processes.status(holder, descriptor)
        return self._statuses.get(holder)

    def watch(self, process: ProcessRef) -> None:
        """Wake the loop when the process ends; at once if it has ended already."""
        if process in self._watched:
            return
        try:
            descriptor = self._ports.processes.open(process)
        except OSError as error:
            # Without a descriptor the next pass notices the end, as for processes beyond the bound.
            _log.warning("process.unwatched", pid=process.pid, error=str(error))
            return
        loop = asyncio.get_running_loop()
        if descriptor is None:
            # The process has ended already, so no pidfd would ever become readable.
            loop.call_soon(self._wake.set)
            return
        self._watched[process] = descriptor
        # A pidfd becomes readable when its process ends (pidfd_open(2)).
        loop.add_reader(descriptor, self._ended, process)

    def watch_some(self, share: ShareId, process: ProcessRef) -> None:
        """As `watch`, for at most `MOST_WATCHED` processes of a share at the same time."""
        # Not by intersection_update(), which goes through the processes of all shares.
        watched = {it for it in self._of.get(share, ()) if it in self._watched}
        self._of[share] = watched
        if len(watched) < MOST_WATCHED:
            self.watch(process)
            watched.add(process)

    def keep(self, shares: Collection[Share]) -> None:
        """Forget every other share."""
        ids, holders = {share.id for share in shares}, {share.holder for share in shares}
        for known in (
            *(self._found, self._descended, self._of),
            *(self._shown, self._known, self._looked),
        ):
            for ended in known.keys() - ids:
                known.pop(ended)
        self._unwatched &= ids
        self._holders &= holders
        self._statuses = {it: how for it, how in self._statuses.items() if it in holders}

    def close(self) -> None:
        """Stop watching; called while the event loop runs."""
        for process in list(self._watched):
            self._unwatch(process)

    def alive(self, process: ProcessRef) -> bool:
        return self._ports.processes.alive(process)

    def _roots(self, share: Share) -> dict[ProcessRef, int]:
        """Since when descendants count: what ran below a process before it entered does not."""
        known = self._descended.get(share.id, set()).union(share.members)
        entered = {entry.process: entry.at for entry in share.entered}
        return {process: process.started for process in known} | entered

    def _owned(self, process: ProcessRef, share: Share) -> bool:
        return self._ports.processes.uid(process) == share.uid

    def _remember(self, share: Share, processes: set[ProcessRef]) -> tuple[ProcessRef, ...]:
        if processes != self._found.get(share.id):
            self._changed(share.id)
            self._known[share.id] = tuple(sorted(processes, key=_pid))
        self._found[share.id] = processes
        for process in self.known(share.id):
            self.watch_some(share.id, process)
        return self.known(share.id)

    def _changed(self, share: ShareId) -> None:
        self._shown.pop(share, None)
        self._looked.pop(share, None)
        self.generation += 1

    def _ended(self, process: ProcessRef) -> None:
        if process in self._holders:
            self._statuses[process] = self.status(process)
        shown = [it for it, known in self._shown.items() if process in known.processes]
        for share in {*shown, *(it for it, watched in self._of.items() if process in watched)}:
            self._changed(share)
        self._unwatch(process)
        self._wake.set()

    def _unwatch(self, process: ProcessRef) -> None:
        descriptor = self._watched.pop(process)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


def _pid(process: ProcessRef) -> int:
    return process.pid


def _apart(census: Census) -> set[ProcessRef]:
    """What belongs to no share, even if a share's program started it.

    The daemon and its children; and the first process, to which all orphans come.
    """
    roots = {process for pid in (1, os.getpid()) if (process := census.find(pid))}
    daemon = {process for process in roots if process.pid != 1}
    return roots | census.family(daemon)
