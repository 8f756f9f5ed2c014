# SPDX-License-Identifier: Apache-2.0
"""Moves shares to other GPUs, while they run or while the driver has them off theirs."""

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.suspend_methods import why_unmigratable
from gpushare.daemon.acts.transitions import Transitions
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import ConflictError, NotMigratableError
from gpushare.model.share import Decision, Share
from gpushare.model.view import MigrateRequest

from .reconcile import Reconciler


class Migration:
    """The caller has the daemon's turn."""

    def __init__(
        self, transitions: Transitions, executor: Executor, reconciler: Reconciler
    ) -> None:
        self._transitions, self._executor = transitions, executor
        self._reconciler = reconciler
        self._observer, self._placement = reconciler.observer, reconciler.placement

    async def migrate(self, share: Share, request: MigrateRequest) -> None:
        """`share`: nothing of it was cut short.

        Raises NotMigratableError, NoCapacityError, NeverFitsError, NoSuchGpuError, BadSpecError,
        MoveTimeoutError, MoveFailedError; the programs run on then.
        """
        await self._observer.look([share])
        self._check(share, self._observer.last(share.id))
        await self._placement.refresh()
        to = self._placement.relocate(share, request.to)
        if share.decision is None or to.gpus == share.decision.gpus:
            return
        await self._move(share, to, request.timeout)
        self._executor.forget(share.id)
        await self._observer.look([share])
        await self._placement.advance()

    async def _move(self, share: Share, to: Decision, seconds: float) -> None:
        pids = [process.pid for process in await self._reconciler.processes(share)]
        if share.suspension is None:
            await self._transitions.migrate(share, to, pids, seconds)
            return
        if await self._transitions.returning(pids):
            raise ConflictError(
                f"share {share.name} is partly back on the GPU",
                "some of its programs are there, others could not follow",
                f"gpushare resume {share.name}",
            )
        await self._transitions.reassign(share, to)

    def _check(self, share: Share, seen: Observation) -> None:
        because = why_unmigratable(share, self._observer.stack(share), seen)
        if because := because or self._transitions.remaps():
            raise NotMigratableError(
                f"share {share.name} cannot move to another GPU",
                because,
                f"gpushare show {share.name}",
            )
