# SPDX-License-Identifier: Apache-2.0
"""Checks before a program starts in a share that its limits will hold.

A program whose region the guard cannot map finds no GPU, and one without a guard has no limit. So
the daemon looks first: it makes the region again where no program uses the old one, else it
refuses.
"""

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.errors import RegionCorruptError
from gpushare.model.share import Share
from gpushare.store import Store


class Readiness:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        *,
        observer: Observer,
        executor: Executor,
        escapes: EscapeWatch,
        processes: ShareProcesses,
    ) -> None:
        self._store, self._ports = store, ports
        self._observer, self._executor, self._escapes = observer, executor, escapes
        self._processes = processes

    async def ensure(self, share: Share) -> Share:
        """The share, ready for a program; raises RegionCorruptError while programs use an old
        region. The caller is an act on the share."""
        problem = await in_own_thread(self._ports.mechanisms.problem, share)
        if not problem:
            await in_own_thread(self._ports.mechanisms.restore, share)
            return share
        if users := await self._users(share):
            raise RegionCorruptError(
                f"no program can start in share {share.name}",
                f"{problem}, and running programs use the old one: {', '.join(map(str, users))}",
                f"end them first: gpushare rm --force {share.name}",
            )
        await in_own_thread(self._ports.mechanisms.renew, share)
        self._executor.forget(share.id)
        return self._repaired(share)

    async def _users(self, share: Share) -> list[int]:
        """Programs that may use the present region. Those of an earlier release may have it mapped
        without having used a GPU yet."""
        processes = await self._processes.now(share)
        moves = self._observer.last(share.id).moves
        if moves is not None and moves.former:
            return [process.pid for process in processes]
        return list(await self._escapes.on_gpus(share))

    def _repaired(self, share: Share) -> Share:
        """A share that is whole again does not end as failed because of what was repaired."""
        if not share.reason or share.reason != self._observer.last(share.id).unreadable:
            return share
        return self._store.shares.update(share.id, reason="")
