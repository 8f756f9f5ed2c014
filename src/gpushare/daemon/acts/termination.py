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
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.share import ProcessRef, Share, State
from gpushare.store import Store

from .executor import Executor

GRACE_SECONDS = 10
_log = structlog.get_logger()


@dataclass(frozen=True)
class _Ending:
    """A share whose programs have received SIGTERM and are killed at `kill_at`."""

    kill_at: float
    reason: str


class Termination:
    def __init__(
        self, store: Store, ports: HostPorts, executor: Executor, processes: ShareProcesses
    ) -> None:
        self._store, self._ports = store, ports
        self._executor, self._processes = executor, processes
        self._endings: dict[ShareId, _Ending] = {}

    async def stop(self, share: Share, reason: str) -> None:
        """End the share now if it has no process, else ask its programs to end."""
        # A share has at most one open intent: what was cut short is settled before a release
        # begins.
        await self._executor.recover()
        share = self._store.shares.get(share.id)
        processes = await self._processes.now(share)
        if share.state.ended:
            return
        if not processes:
            await self._executor.release(share, State.RELEASED, reason)
            return
        # A second `rm` must not give the programs a second grace period.
        if share.id in self._endings:
            return
        kill_at = self._ports.clock.elapsed() + GRACE_SECONDS
        self._endings[share.id] = _Ending(kill_at, reason)
        # Before the signal: killing an MPS client with work in flight can block its server for all
        # others.
        await self._drain(share, processes)
        self._signal(processes, signal.SIGTERM)

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
            await asyncio.to_thread(self._ports.mechanisms.drain, share, pids)
        # A server that does not answer must not keep the share alive: its programs are ended
        # anyway.
        except GpushareError as error:
            _log.warning("drain.failed", share=share.id, error=str(error))

    def _signal(self, processes: Iterable[ProcessRef], number: signal.Signals) -> None:
        for process in processes:
            self._ports.signal(process, number)
