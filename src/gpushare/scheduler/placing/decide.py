# SPDX-License-Identifier: Apache-2.0
"""Decides where a share is placed, or what it waits for. Pure: the same state and request give the
same answer.

Model: `Line` replays the queue on a calendar of the machine. Each request that fits now gets its
place there. The first that does not fit gets a place kept for it, at the earliest time when it
will fit; the request at hand is then placed in what is left (backfill). A gang is one unit: all of
its members get places at the same time, or none. A reservation has its place in the calendar from
the time when it was booked.

Invariants:
- A decision never delays the first request in the queue, nor a reservation; so small shares cannot
  starve a large one, and room that it cannot use until then is not idle.
- A decision fits: on each GPU guaranteed memory and compute of all present shares, with memory held
  by other programs, do not exceed the GPU's.
- An error means that waiting does not help (the machine can never hold the share); `Waiting` means
  that it does.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError
from gpushare.model.gpu import GpuHealth
from gpushare.model.share import Decision
from gpushare.scheduler.capacity.timeline import Calendar, now, timeline
from gpushare.scheduler.request.gang import members, missing, without
from gpushare.scheduler.request.state import Request, Snapshot, Waiting

from .assign import Assignment, Unit, assign
from .booking import claim_booking
from .fit import as_candidate, eligible, why_refused
from .line import Line, served

__all__ = ["decide", "eligible", "place_behind", "place_gang"]

_SHOWN = 2  # GPUs kept for others that are named in the reasons


def decide(state: Snapshot, request: Request) -> Decision | Waiting:
    """Place the request now, or say what it waits for.

    A share of a gang gets its part of the answer to the gang, which is its waiting members and
    the one at hand; grant it only together with `place_gang`. A share with a time to begin waits
    for it, then gets the place that `book` found.

    Raises NoGpuError, NoSuchGpuError, UnsupportedError, BadSpecError for a selector, or
    NeverFitsError: waiting would not help.
    """
    if request.spec.at is not None and (answer := claim_booking(state, request)):
        return answer
    together = members(state.queue, request)
    answers = place_gang(state, together)
    return answers if isinstance(answers, Waiting) else answers[-1]


def place_gang(state: Snapshot, requests: Sequence[Request]) -> tuple[Decision, ...] | Waiting:
    """Place requests at the same time, each with its decision in their order, or none of them.

    For the daemon: all waiting shares of one tenant and gang. They are left out of `state.queue`;
    requests that stay in it go before them. Fewer than the gang's size wait for the rest. Raises as
    `decide` does, and NeverFitsError where they would not fit together on the empty machine.
    """
    if not requests:
        return ()
    state = replace(state, queue=without(state.queue, requests))
    return _place(served(timeline(state)), requests, explain=True)


def place_behind(
    line: Line, requests: Sequence[Request], *, explain: bool = True
) -> tuple[Decision, ...] | Waiting:
    """As `decide` and `place_gang`, behind those in the line, which is not changed.

    `explain` false: without what requests that wait are waiting for, which costs more than to see
    that they do.
    """
    if len(requests) == 1 and requests[0].spec.at is not None:
        answer = claim_booking(line.state, requests[0])
        if answer is not None:
            return answer if isinstance(answer, Waiting) else (answer,)
    return _place(line, requests, explain=explain)


def _place(
    line: Line, requests: Sequence[Request], *, explain: bool
) -> tuple[Decision, ...] | Waiting:
    unit = line.unit(requests)
    if more := missing(requests):
        return _incomplete(line, unit, more)
    if assignments := line.place(unit):
        return tuple(
            assignment.decision(*_passed(line.calendar, assignment)) for assignment in assignments
        )
    if len(unit) > 1:
        _check_ever(line.state, unit)
    if not explain:
        return Waiting(position=0, waits_for="")
    answer = line.waits(unit)
    return replace(answer, waits_for=f"{_gang(unit)}{answer.waits_for}")


def _incomplete(line: Line, unit: Unit, more: int) -> Waiting:
    gang = unit[0].spec.gang
    name = gang.name if gang else ""
    return Waiting(position=line.position(unit), waits_for=f"{more} more of gang {name} to come")


def _gang(unit: Unit) -> str:
    gang = unit[0].spec.gang
    return f"gang {gang.name}: " if gang else ""


def _passed(calendar: Calendar, assignment: Assignment) -> Iterator[str]:
    """Places that are kept for others, and whether it goes before the first in the queue."""
    candidate, chosen = assignment.candidate, {room.gpu.uuid for room in assignment.choice.rooms}
    window = calendar.until(candidate.spec, calendar.start)
    kept = [gpu for gpu in candidate.gpus if calendar.keeps(gpu)]
    others = (gpu for gpu in kept if gpu.uuid not in chosen)
    fitting = (gpu for gpu in others if not why_refused(calendar.bare, candidate, gpu, window))
    reasons = (why_refused(calendar, candidate, gpu, window) for gpu in fitting)
    yield from [f"not {reason}" for reason in reasons if reason][:_SHOWN]
    if any(calendar.keeps(gpu, ahead=True) for gpu in kept):
        yield "it goes before the share ahead of it, and does not delay that"


def _check_ever(state: Snapshot, unit: Unit) -> None:
    """Raises where a gang could not be placed on the empty machine."""
    # A lost or cordoned GPU may come back, so it does not make a gang impossible.
    gpus = tuple(replace(gpu, health=GpuHealth(), cordons=()) for gpu in state.machine.gpus)
    machine = replace(state.machine, gpus=gpus)
    empty = replace(state, machine=machine, shares=(), booked=(), queue=(), foreign={})
    # The neighbours that a share wants may come later; on the empty machine there are none.
    alone = [as_candidate(empty, _without_company(candidate.request)) for candidate in unit]
    if not assign(timeline(empty), alone, now(empty)):
        raise NeverFitsError(
            f"{len(unit)} shares of {_gang(unit).removesuffix(': ')} will never fit together here",
            "they do not fit on the empty machine",
            "see what the GPUs have: gpushare gpus",
        )


def _without_company(request: Request) -> Request:
    return replace(request, spec=replace(request.spec, near={}))
