# SPDX-License-Identifier: Apache-2.0
"""The daemon's parts, joined: one turn at a time, one pass after the other."""

import asyncio
from collections.abc import Sequence

import structlog

from gpushare.model.errors import GpushareError
from gpushare.model.units import Seconds
from gpushare.store import Store

from .bus import Bus
from .executor import Executor, Step
from .prover import Prover
from .reconcile import GRACE_SECONDS, Reconciler
from .rig import Rig

_log = structlog.get_logger()


class Core:
    """`step` is told each point at which a crash may happen."""

    def __init__(self, store: Store, rig: Rig, step: Step = lambda _: None) -> None:
        self.store, self.rig = store, rig
        self.turn = asyncio.Lock()
        self.bus = Bus(store, rig.clock)
        self.prover = Prover(store, rig, self.bus)
        self.executor = Executor(
            store, rig.mechanisms, self.bus, clock=rig.clock, prove=self.prover.prove, step=step
        )
        self.reconciler = Reconciler(store, rig, self.bus, self.executor)
        self.members = self.reconciler.members
        self.observer = self.reconciler.observer
        self.placer = self.reconciler.placer
        self.patience = Seconds(GRACE_SECONDS * 3)
        self.pass_seconds = 0.0
        self.failed_passes = 0
        self._told: set[str] = set()

    async def reconcile(self) -> None:
        """One pass; the next one tries again what failed."""
        begun = self.rig.clock.elapsed()
        try:
            async with self.turn:
                wrong = await self.reconciler.run()
        except GpushareError as error:
            wrong = [error]
        except Exception as error:  # noqa: BLE001 (a mistake of ours must not end the service)
            _log.error("pass.broken", exc_info=error)
            wrong = [GpushareError("a pass failed", f"{type(error).__name__}: {error}")]
        self._complain(wrong)
        self.pass_seconds = self.rig.clock.elapsed() - begun

    def _complain(self, wrong: Sequence[GpushareError]) -> None:
        """Once for each thing that goes wrong, not once a pass."""
        self.failed_passes += bool(wrong)
        told, self._told = self._told, {str(error) for error in wrong}
        for error in wrong:
            if str(error) not in told:
                _log.error("pass.failed", error=str(error), code=error.code)
