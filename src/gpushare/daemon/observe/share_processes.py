# SPDX-License-Identifier: Apache-2.0
"""Which processes belong to a share, and the bell that rings when one of them ends."""

import asyncio
import os
from collections.abc import Callable, Collection

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.hardware.linux.census import Census
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.ids import ShareId
from gpushare.model.share import ProcessRef, Share

MARK = "GPUSHARE_SHARE"  # in the environment of every program of a share


class ShareProcesses:
    """`ended` is called with the share when one of its processes has ended."""

    def __init__(self, ports: HostPorts, ended: Callable[[ShareId], None]) -> None:
        self._ports, self._ended = ports, ended
        self._watched: dict[ProcessRef, int] = {}
        self._last: dict[ShareId, set[ProcessRef]] = {}

    def known(self, share: ShareId) -> tuple[ProcessRef, ...]:
        """As found by the newest look."""
        return tuple(sorted(self._last.get(share, ()), key=lambda ref: ref.pid))

    def shown(self, share: Share) -> tuple[ProcessRef, ...]:
        """As found by the newest look, with those that entered since, less those that ended."""
        found = {*share.members, *self._last.get(share.id, ())}
        living = (process for process in found if self._ports.processes.alive(process))
        return tuple(sorted(living, key=lambda ref: ref.pid))

    def look(self, share: Share, census: Census, seen: Observation) -> tuple[ProcessRef, ...]:
        """Find them by descent, control group and region, and watch each one.

        The region is the tenant's to write and members are ours to end, so what it names must be
        the tenant's own.
        """
        found = {p for pid in seen.pids if (p := census.find(pid)) and self._owned(p, share)}
        found |= census.family({*share.members, *self._last.get(share.id, ()), *found})
        return self._remember(share, found - _ours(census))

    def search(self, share: Share, census: Census, seen: Observation) -> tuple[ProcessRef, ...]:
        """As `look`, and by the mark in the environment: finds orphans without a control group."""
        self.look(share, census, seen)
        marked = census.marked(MARK, share.id, share.uid) - _ours(census)
        return self._remember(share, marked | self._last[share.id])

    def watch(self, share: Share, process: ProcessRef) -> None:
        """Ring when the process ends; at once when it has ended already."""
        if process in self._watched:
            return
        descriptor = self._ports.processes.open(process)
        loop = asyncio.get_running_loop()
        if descriptor is None:
            loop.call_soon(self._ended, share.id)
            return
        self._watched[process] = descriptor
        loop.add_reader(descriptor, self._gone, share.id, process)

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._last = {share: found for share, found in self._last.items() if share in shares}

    def close(self) -> None:
        for process in list(self._watched):
            self._unwatch(process)

    def _owned(self, process: ProcessRef, share: Share) -> bool:
        return self._ports.processes.uid(process) == share.uid

    def _remember(self, share: Share, found: set[ProcessRef]) -> tuple[ProcessRef, ...]:
        self._last[share.id] = found
        for process in found:
            self.watch(share, process)
        return self.known(share.id)

    def _gone(self, share: ShareId, process: ProcessRef) -> None:
        self._unwatch(process)
        self._ended(share)

    def _unwatch(self, process: ProcessRef) -> None:
        descriptor = self._watched.pop(process)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


def _ours(census: Census) -> set[ProcessRef]:
    """The daemon and its children are no members, even where a member has started the daemon."""
    myself = census.find(os.getpid())
    return census.family([myself]) if myself else set()
