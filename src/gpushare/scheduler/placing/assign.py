# SPDX-License-Identifier: Apache-2.0
"""Gives requests that belong together their GPUs: all at the same time or none."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from gpushare.model.share import Decision
from gpushare.model.value import Value
from gpushare.scheduler.capacity import explain
from gpushare.scheduler.capacity.room import Room, grant_on
from gpushare.scheduler.capacity.timeline import Calendar, Stay

from .fit import Candidate, bare_decision, fits, stay, why_refused
from .score import Choice, best_choice

Unit = Sequence[Candidate]  # one request, or a gang
_NAMED = 2  # reasons that are shown in full


class Assignment(Value):
    """Where one request is placed, in which of its ways, and from when.

    `passed`: ways that are better and have no place.
    """

    candidate: Candidate
    choice: Choice
    stay: Stay
    passed: tuple[str, ...] = ()

    def decision(self, *more: str) -> Decision:
        """The decision, with its reasons."""
        candidate, rooms = self.candidate, self.choice.rooms
        grants = tuple(grant_on(room.gpu, candidate.spec) for room in rooms)
        reasons = explain.why(candidate.stack, rooms, grants, candidate.request)
        return Decision(
            grants=grants,
            mechanisms=candidate.stack.names,
            enforcement=candidate.stack.enforcement,
            why=(*reasons, *self.passed, *self.choice.why, *more),
            unprotected=explain.gaps(candidate.stack, candidate.spec),
        )


def assign(calendar: Calendar, unit: Unit, start: datetime) -> tuple[Assignment, ...]:
    """An assignment for each from then on, in their order; none when one of them does not fit."""
    _, by_place = assigned(calendar, unit, start)
    complete = len(by_place) == len(unit)
    return tuple(by_place[place] for place in range(len(unit))) if complete else ()


def assigned(
    calendar: Calendar, unit: Unit, start: datetime
) -> tuple[Calendar, dict[int, Assignment]]:
    """Assignments by place in the unit, up to the first that does not fit, and the calendar."""
    by_place: dict[int, Assignment] = {}
    for place in hardest_first(unit):
        assignment = _placed(calendar, unit[place], start)
        if assignment is None:
            break
        by_place[place] = assignment
        if len(unit) > 1:
            calendar = calendar.joined([by_place[place].stay])
    return calendar, by_place


def _placed(calendar: Calendar, candidate: Candidate, start: datetime) -> Assignment | None:
    passed: list[Candidate] = []
    for way in candidate.ways:
        free = fits(calendar, way, start)
        if len(free) >= way.spec.gpus:
            return _assign(calendar, way, free, passed, start)
        passed.append(way)
    return None


def _assign(
    calendar: Calendar,
    candidate: Candidate,
    free: Sequence[Room],
    passed: Sequence[Candidate],
    start: datetime,
) -> Assignment:
    choice = best_choice(calendar.state, candidate, free)
    places = stay(calendar, candidate.request, bare_decision(candidate, choice.rooms), start)
    return Assignment(
        candidate=candidate,
        choice=choice,
        stay=places,
        passed=tuple(_passed(calendar, way, start) for way in passed),
    )


def _passed(calendar: Calendar, way: Candidate, start: datetime) -> str:
    waits_for = or_reasons(calendar, way, start)
    return f"not {'+'.join(way.stack.names)}, which would wait for {waits_for}"


def or_reasons(calendar: Calendar, candidate: Candidate, start: datetime) -> str:
    """What the request would wait for in this way, on the GPUs where it could be."""
    window = calendar.until(candidate.spec, start)
    reasons = {why_refused(calendar, candidate, gpu, window) for gpu in candidate.gpus} - {""}
    named, more = sorted(reasons)[:_NAMED], len(reasons) - _NAMED
    others = [f"one of {more} more like it"] if more > 0 else []
    return " or ".join(named + others) or f"{candidate.spec.gpus} GPUs at the same time"


def hardest_first(unit: Unit) -> list[int]:
    """Places in the unit: few GPUs to choose from, many GPUs, much memory.

    Requests that want neighbours come last: the neighbour may be in the same gang.
    """

    def ease(place: int) -> tuple[bool, int, int, int]:
        candidate = unit[place]
        memory = grant_on(candidate.gpus[0], candidate.spec).request
        return bool(candidate.spec.near), len(candidate.gpus), -candidate.spec.gpus, -memory

    return sorted(range(len(unit)), key=ease)


def earliest(calendar: Calendar, unit: Unit, after: datetime) -> datetime | None:
    """The first time after `after` when all of them can be placed; None when that is not known.

    What is there only ever leaves, so without kept places, and where no request wants neighbours,
    halving finds the first time; with them it is no earlier than that.
    """
    ends, bare = calendar.ends(after), calendar.bare
    halve = not any(candidate.spec.near for candidate in unit)
    lowest = bisect_left(ends, True, key=lambda end: _possible(bare, unit, end)) if halve else 0
    return next((end for end in ends[lowest:] if _possible(calendar, unit, end)), None)


def _possible(calendar: Calendar, unit: Unit, start: datetime) -> bool:
    """Whether all of them could be placed; for a single one enough room is enough."""
    if len(unit) > 1:
        return bool(assign(calendar, unit, start))
    return any(len(fits(calendar, way, start)) >= way.spec.gpus for way in unit[0].ways)
