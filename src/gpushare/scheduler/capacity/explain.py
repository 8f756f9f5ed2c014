# SPDX-License-Identifier: Apache-2.0
"""The sentences of `--explain`."""

from collections.abc import Sequence

from gpushare.model.promise import unprotected
from gpushare.model.spec import GpuGrant, ShareSpec
from gpushare.model.units import format_bytes
from gpushare.scheduler.request.mechanisms import Stack
from gpushare.scheduler.request.state import Request

from .room import Room


def why(
    stack: Stack, rooms: Sequence[Room], grants: Sequence[GpuGrant], asker: Request
) -> tuple[str, ...]:
    """The mechanisms and the neighbours, by name where the caller may see it."""
    places = zip(rooms, grants, strict=True)
    lines = [line for room, grant in places for line in _place(room, grant, asker)]
    return (*stack.why, *lines)


def gaps(stack: Stack, spec: ShareSpec) -> tuple[str, ...]:
    """What the share is not protected from, in sentences for its owner."""
    still = ["while other shares have their memory turn, its programs stand still"]
    return (
        *unprotected(stack.promises, whole=stack.whole),
        *_burst(spec),
        *(still if spec.turns else []),
    )


def _burst(spec: ShareSpec) -> list[str]:
    if spec.memory.request is None or spec.memory.request == spec.memory.limit:
        return []
    return ["memory between the request and the limit is not reserved: others may take it first"]


def _place(room: Room, grant: GpuGrant, asker: Request) -> list[str]:
    turns = asker.spec.turns
    left = format_bytes(max(0, room.free(turns=turns) - grant.request))
    names = room.names(room.shares, asker)
    company = f"with {names}" if names else "empty until now"
    place = f"on GPU {room.gpu.index} ({room.gpu.name}), {company}: {left} of its memory stay free"
    return [place, _others(room, asker)] if turns else [place]


def _others(room: Room, asker: Request) -> str:
    """Of shares that take turns only one is on the GPU, so only the largest needs room."""
    others = room.names((share for share in room.shares if share.spec.turns), asker)
    if not others:
        return "it takes turns with shares that come later and take turns too"
    return f"it takes turns with {others}: only the largest of them counts against the memory"
