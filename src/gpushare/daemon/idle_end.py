# SPDX-License-Identifier: Apache-2.0
"""Ends a daemon that a command has started, when it is idle (ADR 0050).

Idle: no share lives, waits or is reserved, no act is unfinished, and for `auto_stop_after` seconds
no client has asked anything or is connected. Each request begins that time again, so a daemon that
has answered a client does not end before its next request. Once the machine's daemon has come, this
one refuses its queue, grants nothing new, and ends with its last share.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.lifetime import DaemonLifetime
from gpushare.hardware.ports import Clock
from gpushare.model.operations.lifetime import Lifetime
from gpushare.model.share import State
from gpushare.store import Store

_LOOK_SECONDS = 1.0


class Clients(Protocol):
    """`requests`: how many were answered so far. `connected`: whether any client is."""

    @property
    def requests(self) -> int: ...

    @property
    def connected(self) -> bool: ...


class IdleEnd:
    """`patience`: for how many seconds no client has come before an idle daemon ends."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        *,
        lifetime: DaemonLifetime,
        executor: Executor,
        patience: Callable[[], float],
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._lifetime, self._executor, self._patience = lifetime, executor, patience
        self._requests, self._since = 0, clock.elapsed()

    async def wait(self, clients: Clients) -> None:
        """Return when the daemon is to end."""
        while True:
            if self.over(clients):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def over(self, clients: Clients) -> bool:
        """Whether the daemon is to end now. Leaves to the machine's daemon if that has come."""
        if self._lifetime.leave():
            self._leave()
        if self._used():
            self._since = self._clock.elapsed()
            return False
        if self._lifetime.now is Lifetime.LEAVING:
            return True
        return self._idle_for(clients) >= self._patience()

    def _leave(self) -> None:
        error = self._lifetime.leaving()
        self._bus.publish("daemon.leaving", str(error))
        busy = self._executor.busy()
        for share in self._store.shares.living():
            # The grant of a busy one is being carried out, which is kept.
            if share.state is State.QUEUED and share.id not in busy:
                self._executor.fail(share, error)

    def _used(self) -> bool:
        return bool(self._store.shares.living() or self._executor.busy())

    def _idle_for(self, clients: Clients) -> float:
        now = self._clock.elapsed()
        if clients.connected or clients.requests != self._requests:
            self._requests, self._since = clients.requests, now
        return now - self._since
