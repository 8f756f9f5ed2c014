# SPDX-License-Identifier: Apache-2.0
"""What requests that do not fit wait for, and until when."""

from collections.abc import Hashable, Sequence
from datetime import datetime

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId
from gpushare.scheduler.capacity.timeline import Calendar
from gpushare.scheduler.request.gang import units
from gpushare.scheduler.request.mechanisms import choices
from gpushare.scheduler.request.state import Request, Snapshot, Waiting

from .assign import Unit, assign, assigned, earliest, hardest_first, or_reasons
from .fit import Candidate, as_candidate, eligible, nearest


def waiting(calendar: Calendar, unit: Unit, place: int) -> Waiting:
    """What is in the way, and for the first in the queue also when that is known to end."""
    eta = earliest(calendar, unit, calendar.start) if place == 1 else None
    lacks = lacking(calendar, unit, calendar.start)
    return Waiting(position=place, waits_for=lacks, eta=eta)


def position(state: Snapshot, gpus: Sequence[GpuId]) -> int:
    """Counted among those that could use the same GPUs."""
    # Requests that ask for the same GPUs are looked at once: queues are long and mostly alike.
    alike = {_asked(request): request for request in state.queue}
    reach = {asked: _reach(state, request) for asked, request in alike.items()}
    together = units(state)
    return 1 + sum(
        any(reach[_asked(request)].intersection(gpus) for request in unit) for unit in together
    )


def _asked(request: Request) -> Hashable:
    """All of a request that says which GPUs it can use."""
    spec = request.spec
    how = spec.isolation, spec.mechanism, spec.priority, spec.turns
    return spec.memory, spec.compute, spec.gpus, spec.gpu, spec.select, how


def _reach(state: Snapshot, request: Request) -> set[GpuId]:
    """GPUs that a waiting request could use; none when it can never be placed."""
    try:
        choices(state, request.spec)
        return eligible(state, request)
    except GpushareError:
        return set()


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
