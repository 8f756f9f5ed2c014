# SPDX-License-Identifier: Apache-2.0
"""Frees the name of a share whose program has just ended, for the next share of that name.

The end of a program is noticed at once, and its share is released then, which takes a moment on a
GPU. A script that runs `gpushare run --name x` in a loop comes within that moment.
"""

import asyncio
from contextlib import suppress

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.share import Share, State
from gpushare.model.units import Seconds
from gpushare.store import Act, Store

_RELEASE = Seconds(10)
_CHILDREN = Seconds(1)  # that outlive the holder: most of them are ending too


class FreedNames:
    def __init__(
        self, store: Store, bus: Bus, *, processes: ShareProcesses, executor: Executor
    ) -> None:
        self._store, self._bus = store, bus
        self._processes, self._executor = processes, executor

    async def await_free(self, uid: int, name: str) -> None:
        """Return when no share of the user that is over has the name, or after a bounded time.

        At once for a share that lives: one that was created without a program, or whose program
        runs.
        """
        share = self._store.shares.named(uid, name)
        if share is None or share.state.ended or not self._over(share):
            return
        left = not self._released(share) and await self._processes.now(share)
        # A pass releases it, with all that belongs to that, such as how its program ended.
        self._executor.acts.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CHILDREN if left else _RELEASE):
                while share.id in {living.id for living in self._store.shares.living()}:
                    await self._bus.changed()

    def _over(self, share: Share) -> bool:
        if self._released(share):
            return True
        keeper = share.holder or (share.waiter if share.state is State.QUEUED else None)
        return keeper is not None and not self._processes.alive(keeper)

    def _released(self, share: Share) -> bool:
        intents = self._store.intents.pending()
        return any(it.share == share.id and it.act is Act.RELEASE for it in intents)
