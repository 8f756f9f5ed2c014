# SPDX-License-Identifier: Apache-2.0
"""Ends shares with their programs.

GPU work is drained first, then the programs receive SIGTERM and, after a grace period, SIGKILL. The
share is released once no process is left, by a later pass if it takes time.
"""

import asyncio
import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import structlog

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.ids import ShareId
from gpushare.model.share import ProcessRef, Share

from .in_progress import ActsInProgress

GRACE_SECONDS = 10
_log = structlog.get_logger()


@dataclass(frozen=True)
class _Ending:
    """A share whose programs have received SIGTERM and are killed at `kill_at`."""

    kill_at: float
    reason: str


class Termination:
    def __init__(self, ports: HostPorts, acts: ActsInProgress, processes: ShareProcesses) -> None:
        self._ports, self._acts, self._processes = ports, acts, processes
        self._endings: dict[ShareId, _Ending] = {}

    def stop(self, share: Share, reason: str) -> asyncio.Task[None]:
        """Ask the share's programs to end; the pass releases the share once none is left.

        An act that waits for its programs does not delay this, and stops waiting.
        """
        self._acts.stop_waiting(share.id)
        # A second `rm` must not give the programs a second grace period.
        if share.id in self._endings:
            return self._acts.follow(self._asked())
        kill_at = self._ports.clock.elapsed() + GRACE_SECONDS
        self._endings[share.id] = _Ending(kill_at, reason)
        return self._acts.follow(self._ask(share))

    async def _asked(self) -> None:
        """Its programs have been asked already."""

    async def _ask(self, share: Share) -> None:
        processes = await self._processes.now(share)
        if processes:
            # Before the signal: killing an MPS client with work in flight can block its server for
            # all others.
            await self._drain(share, processes)
            self._signal(processes, signal.SIGTERM)
        else:
            self._acts.wake()

    def kill_overdue(self, share: ShareId, processes: Iterable[ProcessRef]) -> None:
        """SIGKILL for what is left of a share after the grace period."""
        ending = self._endings.get(share)
        if ending and self._ports.clock.elapsed() >= ending.kill_at:
            self._signal(processes, signal.SIGKILL)

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

    def _signal(self, processes: Iterable[ProcessRef], number: signal.Signals) -> None:
        for process in processes:
            self._ports.signal(process, number)
