# SPDX-License-Identifier: Apache-2.0
"""Gives requests that belong together their GPUs: all at the same time or none."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from gpushare.model.share import Decision
from gpushare.model.value import Value
from gpushare.scheduler.capacity import explain
from gpushare.scheduler.capacity.room import grant_on
from gpushare.scheduler.capacity.timeline import Calendar, Stay

from .fit import Wanted, bare_decision, fits, stay
from .score import Choice, pick

Unit = Sequence[Wanted]  # one request, or a gang


class Seat(Value):
    """Where one request lands, and from when."""

    wanted: Wanted
    choice: Choice
    stay: Stay

    def decision(self, *more: str) -> Decision:
        """The places with all that is to be said about them."""
        wanted, rooms = self.wanted, self.choice.rooms
        grants = tuple(grant_on(room.gpu, wanted.spec) for room in rooms)
        said = explain.why(wanted.stack, rooms, grants, wanted.request)
        return Decision(
            grants=grants,
            mechanisms=wanted.stack.names,
            enforcement=wanted.stack.enforcement,
            why=(*said, *self.choice.why, *more),
            unprotected=explain.gaps(wanted.stack, wanted.spec),
        )


def seat(calendar: Calendar, unit: Unit, start: datetime) -> tuple[Seat, ...]:
    """A seat for each from then on, in their order; nothing where one of them has none."""
    _, found = seated(calendar, unit, start)
    return tuple(found[place] for place in range(len(unit))) if len(found) == len(unit) else ()


def seated(calendar: Calendar, unit: Unit, start: datetime) -> tuple[Calendar, dict[int, Seat]]:
    """Seats by place in the unit, up to the first who has none, and the calendar with them."""
    found: dict[int, Seat] = {}
    for place in hardest_first(unit):
        wanted = unit[place]
        free = fits(calendar, wanted, start)
        if len(free) < wanted.spec.gpus:
            break
        found[place] = _seat(calendar, wanted, pick(calendar.state, wanted, free), start)
        if len(unit) > 1:
            calendar = calendar.joined([found[place].stay])
    return calendar, found


def _seat(calendar: Calendar, wanted: Wanted, choice: Choice, start: datetime) -> Seat:
    places = stay(calendar, wanted.request, bare_decision(wanted, choice.rooms), start)
    return Seat(wanted=wanted, choice=choice, stay=places)


def hardest_first(unit: Unit) -> list[int]:
    """Places in the unit: few GPUs to choose from, many GPUs, much memory.

    Who looks for company comes last: perhaps it is in the same gang.
    """

    def ease(place: int) -> tuple[bool, int, int, int]:
        wanted = unit[place]
        memory = grant_on(wanted.gpus[0], wanted.spec).request
        return bool(wanted.spec.near), len(wanted.gpus), -wanted.spec.gpus, -memory

    return sorted(range(len(unit)), key=ease)


def first(calendar: Calendar, unit: Unit, after: datetime) -> datetime | None:
    """The first time after `after` when all of them can be seated; None when that is not known.

    What is there only ever leaves, so without kept places, and where nobody looks for company,
    halving finds the first time; with them it is no earlier than that.
    """
    ends, bare = calendar.ends(after), calendar.bare
    halve = not any(wanted.spec.near for wanted in unit)
    earliest = bisect_left(ends, True, key=lambda end: _possible(bare, unit, end)) if halve else 0
    return next((end for end in ends[earliest:] if _possible(calendar, unit, end)), None)


def _possible(calendar: Calendar, unit: Unit, start: datetime) -> bool:
    """Whether all of them could be seated; one alone only has to be given room enough."""
    if len(unit) > 1:
        return bool(seat(calendar, unit, start))
    return len(fits(calendar, unit[0], start)) >= unit[0].spec.gpus
