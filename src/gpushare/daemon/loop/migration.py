# SPDX-License-Identifier: Apache-2.0
"""Moves shares to other GPUs, while they run or while a checkpoint keeps them off theirs."""

import asyncio

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import outcome
from gpushare.daemon.acts.suspend_methods import why_unmigratable
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.placement.placement import PlacementService
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import ConflictError, NotMigratableError
from gpushare.model.share import Decision, Share
from gpushare.model.view import MigrateRequest


class Migration:
    def __init__(
        self,
        executor: Executor,
        transitions: Transitions,
        *,
        machine: ObservedMachine,
        observer: Observer,
        placement: PlacementService,
    ) -> None:
        self._executor, self._transitions = executor, transitions
        self._machine, self._observer = machine, observer
        self._placement = placement

    async def migrate(self, share: Share, request: MigrateRequest) -> None:
        """To other GPUs, with its programs.

        Raises ConflictError, NotMigratableError, NoCapacityError, NeverFitsError, NoSuchGpuError,
        BadSpecError, MoveTimeoutError, MoveFailedError; the programs then run on.
        """
        await self._machine.refresh()
        await self._observer.look([share])
        returning = await self._transitions.returning(share) if share.suspension else False
        share = await self._executor.ready(share)
        # From a new observation: whether memory can move changes with every allocation.
        self._check(share, self._observer.last(share.id))
        to = self._placement.relocate(share, request.to)
        if share.decision is None or to.gpus == share.decision.gpus:
            return
        await outcome(self._move(share, to, request.timeout, returning=returning))
        # Programs that enter from now on need the new GPUs in their environment.
        self._executor.forget(share.id)
        await self._observer.look([share])
        self._placement.advance()

    def _move(
        self, share: Share, to: Decision, seconds: float, *, returning: bool
    ) -> asyncio.Task[Share]:
        if share.suspension is None:
            return self._transitions.migrate(share, to, seconds)
        # The driver restores a process only from a checkpoint, so what is back already cannot be
        # reassigned.
        if returning:
            raise ConflictError(
                f"share {share.name} is partly back on the GPU",
                "some of its programs are there, others could not follow",
                f"gpushare resume {share.name}",
            )
        return self._transitions.reassign(share, to)

    def _check(self, share: Share, observed: Observation) -> None:
        because = why_unmigratable(share, self._observer.stack(share), observed)
        if because := because or self._transitions.remaps():
            raise NotMigratableError(
                f"share {share.name} cannot move to another GPU",
                because,
                f"gpushare show {share.name}",
            )
