# SPDX-License-Identifier: Apache-2.0
"""Runs passes, one after the other.

Nothing is locked: whatever decides and records is a plain function, which no other change can
interrupt, and whatever takes time is an act in progress (`acts.in_progress`). So no request waits
for a pass, and no pass for the programs of a share.

A pass has four stages: `Reconciler` brings machine and records together, `Upkeep` applies the
policies on idle shares, sizes and profiles, `Accountant` charges tenants, `Proofs` proves the
limits of one share. The order matters: a
share that the first stage has ended is not charged for the next interval.

Invariants:
- An error never ends the loop. Errors are logged once, not once a pass, and the next pass tries
  again; an unexpected exception counts as a failed pass.
- Nothing that a crash must not lose is kept here: the store has it, and the first pass of a new
  daemon begins with the journal.
"""

from collections.abc import Sequence

import structlog

from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.policies.usage import Accountant
from gpushare.hardware.ports import Clock
from gpushare.model.errors import GpushareError

from .proofs import Proofs
from .reconcile import Reconciler
from .upkeep import Upkeep

_log = structlog.get_logger()


class Core:
    """`pass_seconds` is how long the last pass took."""

    def __init__(
        self,
        clock: Clock,
        machine: ObservedMachine,
        *,
        reconciler: Reconciler,
        upkeep: Upkeep,
        proofs: Proofs,
        accountant: Accountant,
        memory_turns: MemoryTurns,
    ) -> None:
        self._clock, self._machine = clock, machine
        self._reconciler, self._upkeep, self._accountant = reconciler, upkeep, accountant
        self._memory_turns, self._proofs = memory_turns, proofs
        self.pass_seconds = 0.0
        self.failed_passes = 0
        self._logged: set[str] = set()

    async def reconcile(self) -> None:
        """One pass; the next one tries again what failed."""
        begun = self._clock.elapsed()
        try:
            errors = await self._reconciler.run()
            await self._memory_turns.settle(self._machine.latest)
            errors += await self._upkeep.run()
            errors += await self._accountant.run(self._machine.latest)
            errors += await self._proofs.run()
        except GpushareError as error:
            errors = [error]
        except Exception as error:  # noqa: BLE001 (a defect in a pass must not end the service)
            _log.error("pass.broken", exc_info=error)
            errors = [GpushareError("a pass failed", f"{type(error).__name__}: {error}")]
        self._report(errors)
        self.pass_seconds = self._clock.elapsed() - begun

    async def take_turns(self) -> None:
        """Between passes, for shares that take turns on a GPU's memory."""
        if self._memory_turns.crowded():
            await self._memory_turns.settle(self._machine.latest)

    def _report(self, errors: Sequence[GpushareError]) -> None:
        """Log each error once while it lasts."""
        self.failed_passes += bool(errors)
        logged, self._logged = self._logged, {str(error) for error in errors}
        for error in errors:
            if str(error) not in logged:
                _log.error("pass.failed", error=str(error), code=error.code)
