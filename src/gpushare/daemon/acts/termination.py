# SPDX-License-Identifier: Apache-2.0
"""Ends shares with their programs.

GPU work is drained first, then the programs receive SIGTERM and, after a grace period, SIGKILL. The
share is released once no process is left, by a later pass if it takes time. `signalling.py` decides
which processes are spared: the share does not wait for them, and they leave its control group.
"""

import asyncio
import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.ids import ShareId
from gpushare.model.share import ProcessRef, Share, Spared
from gpushare.store import Store

from .in_progress import ActsInProgress
from .signalling import Signalling, Untouchable

GRACE_SECONDS = 10
_log = structlog.get_logger()


@dataclass
class _Ending:
    """A share whose programs have received SIGTERM and are killed at `kill_at`."""

    kill_at: float
    reason: str
    untouchable: Untouchable
    spared: dict[ProcessRef, str] = field(default_factory=dict)


class Termination:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        acts: ActsInProgress,
        processes: ShareProcesses,
        signalling: Signalling,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._acts, self._processes, self._signalling = acts, processes, signalling
        self._endings: dict[ShareId, _Ending] = {}

    def stop(self, share: Share, reason: str, command: int | None = None) -> asyncio.Task[None]:
        """Ask the share's programs to end; the pass releases the share once none is left.

        An act that waits for its programs does not delay this, and stops waiting. `command`: the
        pid of the caller on this machine, which is spared with all above it.
        """
        self._acts.stop_waiting(share.id)
        # A second `rm` must not give the programs a second grace period.
        if share.id in self._endings:
            return self._acts.follow(self._asked())
        kill_at = self._ports.clock.elapsed() + GRACE_SECONDS
        untouchable = Untouchable.here(self._ports.processes, command)
        ending = self._endings[share.id] = _Ending(kill_at, reason, untouchable)
        return self._acts.follow(self._ask(share, ending))

    async def _asked(self) -> None:
        """Its programs have been asked already."""

    async def _ask(self, share: Share, ending: _Ending) -> None:
        processes = self._unspared(share, await self._processes.now(share), ending)
        if processes:
            # Before the signal: killing an MPS client with work in flight can block its server for
            # all others.
            await self._drain(share, processes)
            self._signalling.send(processes, signal.SIGTERM)
        else:
            self._acts.wake()

    def left(self, share: Share, processes: tuple[ProcessRef, ...]) -> tuple[ProcessRef, ...]:
        """The processes that a share waits for: those that are spared are not among them."""
        ending = self._endings.get(share.id)
        return processes if ending is None else self._unspared(share, processes, ending)

    def kill_overdue(self, share: Share, processes: tuple[ProcessRef, ...]) -> None:
        """SIGKILL for what is left of a share after the grace period."""
        ending = self._endings.get(share.id)
        if ending and self._ports.clock.elapsed() >= ending.kill_at:
            self._signalling.send(self._unspared(share, processes, ending), signal.SIGKILL)

    def _unspared(
        self, share: Share, processes: tuple[ProcessRef, ...], ending: _Ending
    ) -> tuple[ProcessRef, ...]:
        """The processes to end. Those that are spared are named once, and leave the share."""
        unknown = [process for process in processes if process not in ending.spared]
        spared = self._signalling.spared(share, unknown, ending.untouchable)
        if spared:
            ending.spared |= spared
            self._let_go(share, spared)
        return tuple(process for process in processes if process not in ending.spared)

    def _let_go(self, share: Share, spared: Mapping[ProcessRef, str]) -> None:
        places = {entry.process: entry.place for entry in share.entered}
        for process in spared:
            if self._ports.cgroups.name_of(process.pid) == share.id:
                before = places.get(process) or next(iter(places.values()), "")
                self._ports.cgroups.put_back(process.pid, before)
        named = tuple(Spared(pid=p.pid, because=because) for p, because in spared.items())
        message = "; ".join(f"process {one.pid}: {one.because}" for one in named)
        with self._store.transaction():
            before_it = self._store.shares.get(share.id).spared
            self._store.shares.update(share.id, spared=(*before_it, *named))
            self._bus.publish("share.spared", message, share=share.id)

    def reason(self, share: ShareId) -> str | None:
        """Why the share is being ended; None: it is not."""
        ending = self._endings.get(share)
        return ending.reason if ending else None

    def leaving(self) -> Collection[ShareId]:
        """Shares that are being ended."""
        return self._endings.keys()

    def kill_times(self) -> list[float]:
        """When the grace period of each ending share is over, by the clock's `elapsed`."""
        return [ending.kill_at for ending in self._endings.values()]

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._endings = {share: it for share, it in self._endings.items() if share in shares}

    async def _drain(self, share: Share, processes: Iterable[ProcessRef]) -> None:
        try:
            pids = [process.pid for process in processes]
            await in_own_thread(self._ports.mechanisms.drain, share, pids)
        # A server that does not answer must not keep the share alive: its programs are ended
        # anyway.
        except Exception as error:  # noqa: BLE001 (whatever it is)
            _log.warning("drain.failed", share=share.id, error=str(error))
