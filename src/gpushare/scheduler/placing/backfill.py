# SPDX-License-Identifier: Apache-2.0
"""Which requests may pass others: the first that has to wait gets a place, and none may delay that.

The place is kept in the calendar like a reservation. Where enough of what is in its way ends at a
known time, it is kept from then on; where not, what it needs is kept from now on. A request that
has waited longer than the policy's patience, and would have to wait as long again, has it kept from
now on wherever it could be.
"""

from datetime import timedelta

from msgspec.structs import replace

from gpushare.scheduler.capacity.room import Room, grant_on, unfit_company
from gpushare.scheduler.capacity.timeline import Calendar, Stay
from gpushare.scheduler.request.state import Snapshot

from .assign import Unit, assign, earliest, hardest_first
from .fit import Candidate, accompanied, bare_decision, nearest, stay


def hold(calendar: Calendar, unit: Unit) -> list[Stay]:
    """The places that are kept for requests that do not fit now."""
    when, patience = earliest(calendar, unit, calendar.start), _patience(calendar.state, unit)
    # A share with bad luck could otherwise wait for a ttl of ten days (ADR 0022).
    if when is None or (patience is not None and when > calendar.start + patience):
        return _standing(calendar, unit, everywhere=patience is not None)
    assignments = assign(calendar, unit, when)
    return [replace(assignment.stay, kept=True, ahead=True) for assignment in assignments]


def _patience(state: Snapshot, unit: Unit) -> timedelta | None:
    """The policy's, where one of them has waited longer already."""
    patience = timedelta(seconds=state.policy.patience)
    asked = [candidate.request.asked for candidate in unit if candidate.request.asked is not None]
    waited = state.now is not None and bool(asked) and min(asked) + patience <= state.now
    return patience if waited else None


def _standing(calendar: Calendar, unit: Unit, *, everywhere: bool) -> list[Stay]:
    """What they need, on the GPUs where they lack least or on all.

    It may be more than there is: then later requests find nothing left of it.
    """
    stays: list[Stay] = []
    for place in hardest_first(unit):
        candidate = nearest(calendar, unit[place], calendar.start)
        rooms = _likely(calendar, candidate)
        if len(rooms) < candidate.spec.gpus:
            return []
        taken = rooms if everywhere else rooms[: candidate.spec.gpus]
        kept = stay(calendar, candidate.request, bare_decision(candidate, taken), calendar.start)
        # From now on and without end, because no time is known at which enough will be free.
        stays.append(replace(kept, begins=None, ends=None, kept=True, ahead=True))
        calendar = calendar.joined(stays[-1:])
    return stays


def _likely(calendar: Calendar, candidate: Candidate) -> list[Room]:
    """GPUs that only lack room, first those that lack least."""
    there = (gpu for gpu in candidate.gpus if not gpu.withheld)
    rooms = [
        calendar.room(gpu, calendar.start) for gpu in there if accompanied(calendar, candidate, gpu)
    ]
    return sorted(rooms, key=lambda room: (*_lacks(candidate, room), room.gpu.index))


def _lacks(candidate: Candidate, room: Room) -> tuple[int, int, bool]:
    need, turns = grant_on(room.gpu, candidate.spec), candidate.spec.turns
    memory = max(0, need.request - room.free(turns=turns))
    compute = max(0, need.compute_request - room.compute(turns=turns))
    return memory, compute, bool(unfit_company(room, candidate.stack, candidate.request))
