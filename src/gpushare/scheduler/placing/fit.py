# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a request could ever use, and which of them it could use at a time."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError, NoGpuError, NoSuchGpuError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import ShareSpec
from gpushare.model.units import format_bytes
from gpushare.model.value import Value
from gpushare.scheduler.capacity.room import (
    Room,
    below_context,
    grant_on,
    never,
    refusal,
    unfit_company,
    unready,
)
from gpushare.scheduler.capacity.timeline import Calendar, Stay, Window, describe_kept
from gpushare.scheduler.request.affinity import missing_neighbour, wanted_neighbours
from gpushare.scheduler.request.mechanisms import Stack, choices, refused_by_mode
from gpushare.scheduler.request.state import Request, Snapshot


class Candidate(Value):
    """A request, the mechanisms that would make it real, and the GPUs that could ever hold it.

    `others`: the same request by other mechanisms.
    """

    request: Request
    stack: Stack
    gpus: tuple[Gpu, ...]
    others: tuple["Candidate", ...] = ()

    @property
    def ways(self) -> tuple["Candidate", ...]:
        """The request by each stack that holds what it asks for, best first."""
        return (self, *self.others)

    @property
    def reach(self) -> set[GpuId]:
        """GPUs that could ever hold it in any way."""
        return {gpu.uuid for way in self.ways for gpu in way.gpus}

    @property
    def spec(self) -> ShareSpec:
        """The request's own."""
        return self.request.spec

    def of(self, request: Request) -> "Candidate":
        """That of a request which asks for the same."""
        others = tuple(replace(other, request=request) for other in self.others)
        return replace(self, request=request, others=others)


def as_candidate(state: Snapshot, request: Request) -> Candidate:
    """What the request comes to on this machine; raises as `decide` does."""
    gpus = _able(state, request)
    stacks = choices(state, request.spec, gpus)
    first, *others = (_by(stack, state, request, gpus) for stack in stacks)
    return replace(first, others=tuple(others))


def _by(stack: Stack, state: Snapshot, request: Request, gpus: Sequence[Gpu]) -> Candidate:
    refused = refused_by_mode(state, stack.base, gpus)
    open_gpus = tuple(gpu for gpu in gpus if gpu.uuid not in refused)
    return Candidate(request=request, stack=stack, gpus=open_gpus)


def eligible(state: Snapshot, request: Request) -> set[GpuId]:
    """GPUs that could hold the request if they were empty; raises as `decide` does."""
    return {gpu.uuid for gpu in _able(state, request)}


def _able(state: Snapshot, request: Request) -> tuple[Gpu, ...]:
    gpus = _selected(state, request.spec)
    reasons = {gpu.uuid: never(gpu, request) for gpu in gpus}
    small = {gpu.uuid: below_context(state.machine, gpu, request.spec) for gpu in gpus}
    usable = tuple(gpu for gpu in gpus if not (reasons[gpu.uuid] or small[gpu.uuid]))
    too_small = [error for error in small.values() if error is not None]
    if len(usable) < request.spec.gpus <= len(usable) + len(too_small):
        raise too_small[0]
    if len(usable) < request.spec.gpus:
        raise NeverFitsError(
            _too_much(request.spec),
            "; ".join(reason for reason in reasons.values() if reason)
            or f"only {len(gpus)} can be used",
            "see what the GPUs have: gpushare gpus",
        )
    return usable


def _selected(state: Snapshot, spec: ShareSpec) -> list[Gpu]:
    gpus = state.machine.gpus
    if not gpus:
        raise NoGpuError("this machine has no GPU", hint="try one: gpushare simulate h200-1 -- …")
    if not spec.gpu:
        return list(gpus)
    named = {gpu.uuid: gpu for gpu in (_named(gpus, name) for name in spec.gpu)}
    return list(named.values())


def _named(gpus: Sequence[Gpu], name: str) -> Gpu:
    for gpu in gpus:
        if name in {gpu.uuid, str(gpu.index)}:
            return gpu
    names = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus)
    raise NoSuchGpuError(f"no GPU {name!r}", f"this machine has {names}", "gpushare gpus")


def _too_much(spec: ShareSpec) -> str:
    memory = f" with {format_bytes(spec.memory.limit)}" if spec.memory.limit else ""
    return f"{spec.gpus} GPU{'s' * (spec.gpus > 1)}{memory} will never be free here"


def fits(calendar: Calendar, candidate: Candidate, start: datetime) -> list[Room]:
    """GPUs that the share can have from then on for as long as it needs, with the shares there."""
    window = calendar.until(candidate.spec, start)
    free = (gpu for gpu in candidate.gpus if not why_refused(calendar, candidate, gpu, window))
    return [calendar.real.room(gpu, start) for gpu in free]


def nearest(calendar: Calendar, candidate: Candidate, start: datetime) -> Candidate:
    """Of its ways the one that the fewest neighbours are against; of equal ones the best."""

    def prevented(way: Candidate) -> int:
        rooms = (calendar.room(gpu, start) for gpu in way.gpus)
        by = (unready(it, way.stack) or unfit_company(it, way.stack, way.request) for it in rooms)
        return sum(map(bool, by)) - len(way.gpus)

    return min(candidate.ways, key=prevented) if candidate.others else candidate


def why_refused(calendar: Calendar, candidate: Candidate, gpu: Gpu, window: Window) -> str:
    """What the share would have to wait for on this GPU; "" when it can have it all the time."""
    first = calendar.room(gpu, window.start)
    if not first.gpu.withheld and (missed := missing_neighbour(first.shares, candidate.request)):
        return missed
    for moment in calendar.moments(gpu, window):
        # The share must fit whenever something begins during its stay; between begins there is only
        # more room.
        if reason := refusal(calendar.room(gpu, moment), candidate.stack, candidate.request):
            return _kept(calendar, candidate, gpu, moment) or reason
    return ""


def _kept(calendar: Calendar, candidate: Candidate, gpu: Gpu, moment: datetime) -> str:
    """What the shares there lack room for; if nothing, for which share the GPU is kept."""
    kept = calendar.kept(gpu, moment)
    if not kept:
        return ""
    short = refusal(calendar.bare.room(gpu, moment), candidate.stack, candidate.request)
    return short or f"GPU {gpu.index}, {describe_kept(calendar, kept[0], candidate.request)}"


def accompanied(calendar: Calendar, candidate: Candidate, gpu: Gpu) -> bool:
    """Whether the wanted neighbours are there now."""
    here = calendar.room(gpu, calendar.start).shares
    return not candidate.spec.near or bool(wanted_neighbours(here, candidate.request))


def stay(calendar: Calendar, request: Request, decision: Decision, start: datetime) -> Stay:
    """The request as a share that has its place from then on."""
    share = Share(
        id=request.id,
        name=request.spec.name or request.id or "a share",
        spec=request.spec,
        tenant=request.tenant,
        uid=request.uid,
        gid=request.uid,
        state=State.GRANTED,
        created=start,
        decision=decision,
        program=request.program,
    )
    window = calendar.until(request.spec, start)
    return Stay(share=share, begins=start, ends=window.end)


def bare_decision(candidate: Candidate, rooms: Sequence[Room]) -> Decision:
    """The places alone, without words."""
    grants = tuple(grant_on(room.gpu, candidate.spec) for room in rooms)
    return Decision(grants=grants, mechanisms=candidate.stack.names)
