# SPDX-License-Identifier: Apache-2.0
"""Requests that are granted all at once or not at all."""

from collections.abc import Iterable, Sequence

from gpushare.model.ids import Tenant
from gpushare.model.spec import Gang

from .state import Request, Snapshot


def members(queue: Iterable[Request], request: Request) -> tuple[Request, ...]:
    """The request and those of its gang that wait already, itself last.

    Where more than one gang of that name has come together, those of the newest one.
    """
    gang = request.spec.gang
    if gang is None:
        return (request,)
    mates = [*(earlier for earlier in queue if _gang(earlier) == _gang(request)), request]
    return tuple(mates[(len(mates) - 1) // gang.size * gang.size :])


def missing(requests: Sequence[Request]) -> int:
    """How many of the gang are not there yet."""
    gang = requests[0].spec.gang if requests else None
    return 0 if gang is None else max(0, gang.size - len(requests))


def units(state: Snapshot) -> list[tuple[Request, ...]]:
    """Requests that wait for room, in order; a request with a reservation waits for its time."""
    return grouped(request for request in state.queue if not reserved(state, request))


def grouped(requests: Iterable[Request]) -> list[tuple[Request, ...]]:
    """What is served at once: one, or a gang, where its last share stands, if all have come."""
    units_ready: list[tuple[Request, ...]] = []
    coming: dict[tuple[Tenant, Gang | None], list[Request]] = {}
    for request in requests:
        gang = request.spec.gang
        together = coming.setdefault(_gang(request), []) if gang else []
        together.append(request)
        if gang is None or len(together) == gang.size:
            units_ready.append(tuple(together))
            coming.pop(_gang(request), None)
    return units_ready


def reserved(state: Snapshot, request: Request) -> bool:
    """Whether its time is to come, or has come and its place is kept."""
    at = request.spec.at
    if at is None:
        return False
    kept = (share.id == request.id and share.booking is not None for share in state.booked)
    return state.now is None or state.now < at or any(kept)


def without(queue: Iterable[Request], requests: Sequence[Request]) -> tuple[Request, ...]:
    """The queue without these requests."""
    ids = {request.id for request in requests if request.id}
    # A new request has no id yet, so it is recognised by identity.
    same = {id(request) for request in requests}
    return tuple(request for request in queue if request.id not in ids and id(request) not in same)


def _gang(request: Request) -> tuple[Tenant, Gang | None]:
    return request.tenant, request.spec.gang
