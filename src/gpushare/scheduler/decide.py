# SPDX-License-Identifier: Apache-2.0
"""Where a share lands, or what it waits for. Pure: same state and request, same answer.

The queue is strictly first come, first served per GPU: a request is placed only on GPUs that no
earlier waiting request could use. So a big share at the head is never starved by small ones, while
a share bound to another GPU is not held up by it.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gpushare.model.errors import (
    GpushareError,
    NeverFitsError,
    NoGpuError,
    NoSuchGpuError,
)
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.share import Decision
from gpushare.model.spec import ShareSpec
from gpushare.model.units import format_bytes

from . import explain
from .room import Room, grant_on, never, refusal, rooms
from .stack import Stack, choose, whole_memory
from .state import Request, Snapshot, Waiting

_NAMED = 2  # reasons that a waiting share is told in full


def decide(state: Snapshot, request: Request) -> Decision | Waiting:
    """Place the request now, or say what it waits for.

    Raises NoGpuError, NoSuchGpuError, UnsupportedError, or NeverFitsError: waiting would not help.
    """
    usable = eligible(state, request)
    stack = choose(state, request.spec)
    held = [earlier for earlier in state.queue if _reach(state, earlier) & usable]
    blocked: set[GpuId] = set().union(*(_reach(state, earlier) for earlier in held))
    open_rooms = [room for room in rooms(state) if room.gpu.uuid in usable - blocked]
    fits = [room for room in open_rooms if not refusal(room, stack, request)]
    if len(fits) >= request.spec.gpus:
        return _decision(stack, _tightest(fits, request.spec), request.spec)
    if held:
        return Waiting(position=len(held) + 1, waits_for=_behind(len(held)))
    return Waiting(
        position=1,
        waits_for=_wanted(open_rooms, stack, request),
        eta=_eta(state, request),
    )


def eligible(state: Snapshot, request: Request) -> set[GpuId]:
    """GPUs that could hold the request if they were empty; raises as `decide` does."""
    gpus = _selected(state, request.spec)
    reasons = {gpu.uuid: never(gpu, request) for gpu in gpus}
    usable = {uuid for uuid, reason in reasons.items() if not reason}
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
    return [_named(gpus, name) for name in dict.fromkeys(spec.gpu)]


def _named(gpus: Sequence[Gpu], name: str) -> Gpu:
    for gpu in gpus:
        if name in {gpu.uuid, str(gpu.index)}:
            return gpu
    known = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus)
    raise NoSuchGpuError(f"no GPU {name!r}", f"this machine has {known}", "gpushare gpus")


def _too_much(spec: ShareSpec) -> str:
    memory = f" with {format_bytes(spec.memory.limit)}" if spec.memory.limit else ""
    return f"{spec.gpus} GPU{'s' * (spec.gpus > 1)}{memory} will never be free here"


def _reach(state: Snapshot, request: Request) -> set[GpuId]:
    """GPUs that a waiting request holds its place for; none when it can never be placed."""
    try:
        choose(state, request.spec)
        return eligible(state, request)
    except GpushareError:
        return set()


def _tightest(fits: list[Room], spec: ShareSpec) -> list[Room]:
    """Best fit: fill GPUs that are in use already, so that others stay whole.

    Who asks for no size means a GPU, and gets a MIG instance only when nothing else is free.
    """

    def worth(room: Room) -> tuple[bool, int, int]:
        piece = whole_memory(spec) and room.gpu.parent is not None
        return piece, room.free(turns=spec.turns), room.gpu.index

    return sorted(fits, key=worth)[: spec.gpus]


def _decision(stack: Stack, chosen: list[Room], spec: ShareSpec) -> Decision:
    grants = tuple(grant_on(room.gpu, spec) for room in chosen)
    return Decision(
        grants=grants,
        mechanisms=stack.names,
        enforcement=stack.enforcement,
        why=explain.why(stack, chosen, grants, turns=spec.turns),
        unprotected=explain.gaps(stack, spec),
    )


def _behind(ahead: int) -> str:
    return "the share ahead of it" if ahead == 1 else f"the {ahead} shares ahead of it"


def _wanted(open_rooms: list[Room], stack: Stack, request: Request) -> str:
    reasons = {reason for room in open_rooms if (reason := refusal(room, stack, request))}
    named, more = sorted(reasons)[:_NAMED], len(reasons) - _NAMED
    others = [f"one of {more} more like it"] if more > 0 else []
    return " or ".join(named + others) or f"{request.spec.gpus} GPUs at the same time"


def _eta(state: Snapshot, request: Request) -> datetime | None:
    """When enough shares with a ttl have ended; None when that is not known."""
    staying = list(state.shares)
    for share in sorted((s for s in staying if s.expires), key=lambda s: (s.expires, s.id)):
        staying.remove(share)
        without = msgspec.structs.replace(state, shares=tuple(staying))
        if _fits(without, request):
            return share.expires
    return None


def _fits(state: Snapshot, request: Request) -> bool:
    usable = eligible(state, request)
    here = [room for room in rooms(state) if room.gpu.uuid in usable]
    stack = choose(state, request.spec)
    return sum(not refusal(room, stack, request) for room in here) >= request.spec.gpus
