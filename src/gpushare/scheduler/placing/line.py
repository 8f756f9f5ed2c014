# SPDX-License-Identifier: Apache-2.0
"""The queue in its order, each request behind those that wait before it.

Model: a *line* is a calendar to which the waiting units were added one by one. A unit that fits has
its place there; for the first that does not, a place is kept. So an answer about the last of a
thousand units costs as much as one about the first, and serving the whole queue adds each unit
once, instead of serving all before it again.

Invariants:
- Once a place is kept for the first that does not fit, later units change nothing but positions.
- Requests that ask for the same, of one user and tenant, get the same reasons from one calendar, so
  they are looked for once.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId
from gpushare.scheduler.capacity.timeline import Calendar
from gpushare.scheduler.request.gang import reserved, units
from gpushare.scheduler.request.mechanisms import choices
from gpushare.scheduler.request.state import Request, Waiting

from .assign import Assignment, Unit, assign
from .backfill import hold
from .fit import Candidate, as_candidate, eligible
from .waiting import lacking, waiting

_NOTHING: frozenset[GpuId] = frozenset()


class Line:
    """`calendar`: what is there, what fits, and the place kept for the first that does not."""

    def __init__(self, calendar: Calendar) -> None:
        self.state, self.calendar = calendar.state, calendar
        self._kept = False
        self._uncounted: list[Sequence[Request]] = []
        self._reaches: Counter[frozenset[GpuId]] = Counter()
        self._reach: dict[bytes, frozenset[GpuId]] = {}
        self._candidates: dict[bytes, Candidate] = {}
        self._refused: set[bytes] = set()
        self._lacks: dict[bytes, str] = {}

    def add(self, requests: Sequence[Request]) -> None:
        """A unit that waits before those to come. One with a reservation waits for its time."""
        if any(reserved(self.state, request) for request in requests):
            return
        self._uncounted.append(requests)
        if not self._kept:
            self._serve(requests)

    def unit(self, requests: Sequence[Request]) -> Unit:
        """What the requests come to on this machine; raises as `decide` does."""
        return [self._candidate(request) for request in requests]

    def place(self, unit: Unit) -> tuple[Assignment, ...]:
        """Where its members land now; empty where they wait."""
        key = alike(unit[0].request) if len(unit) == 1 else b""
        if key in self._refused:
            return ()
        assignments = assign(self.calendar, unit, self.calendar.start)
        if not assignments and key:
            self._refused.add(key)
        return assignments

    def waits(self, unit: Unit) -> Waiting:
        """What a unit that does not fit waits for."""
        place = self.position(unit)
        # The first also learns when its time comes.
        if place == 1 or len(unit) > 1:
            return waiting(self.calendar, unit, place)
        key = alike(unit[0].request)
        if key not in self._lacks:
            self._lacks[key] = lacking(self.calendar, unit, self.calendar.start)
        return Waiting(position=place, waits_for=self._lacks[key])

    def position(self, unit: Unit) -> int:
        """Counted among those that could use the same GPUs."""
        for requests in self._uncounted:
            self._reaches[_NOTHING.union(*map(self._reach_of, requests))] += 1
        self._uncounted.clear()
        gpus = {gpu for candidate in unit for gpu in candidate.reach}
        counts = self._reaches.items()
        return 1 + sum(count for reach, count in counts if not reach.isdisjoint(gpus))

    def _serve(self, requests: Sequence[Request]) -> None:
        """What waits for something other than room keeps nothing free: for a neighbour, the rest of
        a gang, or a lost GPU."""
        unit = self._possible(requests)
        if assignments := self.place(unit) if unit else ():
            self.calendar = self.calendar.joined(assignment.stay for assignment in assignments)
        elif kept := hold(self.calendar, unit) if unit else []:
            # Only the first has a place: two would have to be planned against each other (ADR
            # 0022).
            self.calendar = self.calendar.joined(kept)
            self._kept = True
        else:
            return
        self._lacks.clear()
        self._refused.clear()

    def _possible(self, requests: Sequence[Request]) -> Unit:
        """Nothing for those that can never be placed."""
        try:
            return self.unit(requests)
        except GpushareError:
            return ()

    def _candidate(self, request: Request) -> Candidate:
        key = alike(request)
        if key not in self._candidates:
            self._candidates[key] = as_candidate(self.state, request)
        return self._candidates[key].of(request)

    def _reach_of(self, request: Request) -> frozenset[GpuId]:
        """GPUs that it could use; none when it can never be placed."""
        key = alike(request)
        if key not in self._reach:
            try:
                choices(self.state, request.spec)
                self._reach[key] = frozenset(eligible(self.state, request))
            except GpushareError:
                self._reach[key] = _NOTHING
        return self._reach[key]


def served(calendar: Calendar) -> Line:
    """The calendar after the queue of its state."""
    line = Line(calendar)
    for requests in units(calendar.state):
        line.add(requests)
    return line


def alike(request: Request) -> bytes:
    """Equal for requests that differ in nothing that a place depends on."""
    spec = replace(request.spec, name=None)
    return msgspec.json.encode((spec, request.uid, request.tenant, request.program))
