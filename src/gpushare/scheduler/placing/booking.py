# SPDX-License-Identifier: Apache-2.0
"""Reservations: places for a time to come."""

from datetime import timedelta

from msgspec.structs import replace

from gpushare.model.errors import BadSpecError, NoCapacityError
from gpushare.model.share import Decision
from gpushare.model.spec import ShareSpec
from gpushare.scheduler.capacity.timeline import Calendar, Window, clock, timeline
from gpushare.scheduler.request.state import Request, Snapshot, Waiting

from .assign import assign, earliest
from .fit import Candidate, as_candidate, fits, why_refused
from .line import served
from .waiting import lacking, waiting


def book(state: Snapshot, request: Request) -> Decision:
    """Where a share will land at `spec.at`, for `spec.ttl` seconds.

    For the daemon, when a reservation is made: keep the answer as `Share.booking` and list the
    share in `Snapshot.booked` until it is granted. Taken is what shares hold that may not have
    ended by then, other reservations, and the place kept for the first of the waiting requests.
    From `spec.at` on `decide` gives the share its place; it ends at `spec.at` and `spec.ttl` later,
    also when it began late.

    Raises NoCapacityError with what is in the way and when it would be possible, BadSpecError
    without a time or for one that is over, else as `decide` does.
    """
    window = _window(state, request)
    candidate = as_candidate(state, request)
    calendar = served(timeline(state, without=request.id)).calendar
    window = replace(window, start=max(window.start, calendar.start))
    assignments = assign(calendar, [candidate], window.start)
    if not assignments:
        raise _too_full(calendar, candidate, window)
    return assignments[0].decision(f"kept free {_span(state, window)}")


def claim_booking(state: Snapshot, request: Request) -> Decision | Waiting | None:
    """What `decide` says to a share with a time to begin; None where nothing is kept for it.

    No share goes before it: its place was promised.
    """
    at = request.spec.at
    if at is not None and (state.now is None or state.now < at):
        return Waiting(position=1, waits_for=f"its time, {clock(at, state.now)}", eta=at)
    booking = next((s.booking for s in state.booked if request.id and s.id == request.id), None)
    if booking is None:
        return None
    candidate, calendar = as_candidate(state, request), timeline(state, without=request.id)
    # GPUs may have been lost since the booking, and mechanisms may have come or gone.
    booked = (way for way in candidate.ways if way.stack.names == booking.mechanisms)
    for way in booked:
        free = {room.gpu.uuid for room in fits(calendar, way, calendar.start)}
        if free.issuperset(booking.gpus):
            return booking
    if assignments := assign(calendar, [candidate], calendar.start):
        return assignments[0].decision(
            "its time has come, and the GPUs that were kept cannot be had"
        )
    return waiting(calendar, [candidate], place=1)


def _window(state: Snapshot, request: Request) -> Window:
    at, ttl = request.spec.at, request.spec.ttl
    if at is None or ttl is None:
        raise BadSpecError(
            "a reservation needs a time to begin and a ttl", "", "--at 14:00 --for 2h"
        )
    end = at + timedelta(seconds=ttl)
    if state.now is not None and end <= state.now:
        raise BadSpecError("the reservation is over", f"it would end at {clock(end, state.now)}")
    return Window(start=at, end=end)


def _span(state: Snapshot, window: Window) -> str:
    end = "" if window.end is None else f" to {clock(window.end, state.now)}"
    return f"from {clock(window.start, state.now)}{end}"


def _too_full(calendar: Calendar, candidate: Candidate, window: Window) -> NoCapacityError:
    """With the shares there at that time, and when it would be possible."""
    any_time = replace(
        candidate, request=replace(candidate.request, spec=_any_time(candidate.spec))
    )
    when = earliest(calendar, [any_time], window.start)
    lacks = lacking(calendar, [candidate], window.start)
    names = _in_the_way(calendar, candidate, window)
    return NoCapacityError(
        f"there is no room {_span(calendar.state, window)}",
        f"it would need {lacks}; in the way: {names or 'programs outside gpushare'}",
        f"it would be possible from {clock(when, calendar.state.now)}"
        if when
        else "no end of what is in the way is known: gpushare ps",
    )


def _any_time(spec: ShareSpec) -> ShareSpec:
    return replace(spec, at=None)


def _in_the_way(calendar: Calendar, candidate: Candidate, window: Window) -> str:
    """All shares that are there at any time of it, on GPUs that do not fit."""
    full = [gpu for gpu in candidate.gpus if why_refused(calendar, candidate, gpu, window)]
    times = [(gpu, moment) for gpu in full for moment in calendar.moments(gpu, window)]
    rooms = [calendar.room(gpu, moment) for gpu, moment in times]
    shares = {share.id: share for room in rooms for share in room.shares}
    return rooms[0].names(shares.values(), candidate.request)
