# SPDX-License-Identifier: Apache-2.0
"""What requests that do not fit wait for, and until when."""

from datetime import datetime

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.scheduler.capacity.timeline import Calendar
from gpushare.scheduler.request.state import Waiting

from .assign import Unit, assign, assigned, earliest, hardest_first, or_reasons
from .fit import Candidate, as_candidate, nearest


def waiting(calendar: Calendar, unit: Unit, place: int) -> Waiting:
    """What is in the way, and for the first in the queue also when that is known to end."""
    eta = earliest(calendar, unit, calendar.start) if place == 1 else None
    lacks = lacking(calendar, unit, calendar.start)
    return Waiting(position=place, waits_for=lacks, eta=eta)


def lacking(calendar: Calendar, unit: Unit, start: datetime) -> str:
    """What the first that does not fit would need, once those before it are placed."""
    calendar, assignments = assigned(calendar, unit, start)
    candidate = unit[hardest_first(unit)[len(assignments)]]
    way = nearest(calendar, candidate, start)
    return or_reasons(calendar, way, start) + _instead(calendar, candidate, start)


def _instead(calendar: Calendar, candidate: Candidate, start: datetime) -> str:
    """For a request that names a mechanism: whether it could start now without that."""
    if candidate.spec.mechanism is None:
        return ""
    spec = replace(candidate.spec, mechanism=None)
    try:
        free = as_candidate(calendar.state, replace(candidate.request, spec=spec))
    except GpushareError:
        return ""
    if not (found := assign(calendar, [free], start)):
        return ""
    by = "+".join(found[0].candidate.stack.names)
    return f"; without --mechanism it could start now, by {by}"
