# SPDX-License-Identifier: Apache-2.0
"""What every waiting share waits for, as users are shown it.

Users ask far more often than it changes, so the reasons are kept. While the state is as it was and
shares were only added to the end of the queue, only theirs are looked for.
"""

from collections.abc import Sequence

from gpushare.model.ids import ShareId
from gpushare.scheduler import Request, Snapshot, Waiting

from .queue import HeldBack, Unit
from .serving import Serving, WaitingUnits, known


class Reasons:
    def __init__(self) -> None:
        self._known: WaitingUnits | None = None
        self._serving: Serving | None = None
        self._reasons: dict[ShareId, Waiting] = {}

    def of(
        self, state: Snapshot, singles: Sequence[Request], units: Sequence[Unit]
    ) -> dict[ShareId, Waiting]:
        """By share. `singles`: reservations to come, and parts of gangs that are not complete."""
        waiting = list(self._known.waiting(state, units)) if self._known else []
        if self._serving is None or self._known is None or len(waiting) < len(self._known.units):
            self._serving = Serving(state, [unit for unit, held_back in waiting if not held_back])
            still = {request.id for unit, _ in waiting for request in unit}
            self._reasons = {share: it for share, it in self._reasons.items() if share in still}
        for unit in units[len(waiting) :]:
            waiting.append((unit, self._add(unit, self._serving)))
        self._known = known(state, waiting)
        return self._reasons | self._of_singles(state, singles)

    def _add(self, unit: Unit, serving: Serving) -> bool:
        """Whether it is held back, or does not wait."""
        answer = serving.answer(unit, explain=True)
        if not isinstance(answer, Waiting):
            return True
        self._reasons |= {request.id: answer for request in unit}
        if isinstance(answer, HeldBack):
            return True
        serving.add(unit)
        return False

    def _of_singles(self, state: Snapshot, singles: Sequence[Request]) -> dict[ShareId, Waiting]:
        alone = Serving(state)
        answers = ((request.id, alone.answer((request,), explain=True)) for request in singles)
        return {share: answer for share, answer in answers if isinstance(answer, Waiting)}
