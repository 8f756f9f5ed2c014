# SPDX-License-Identifier: Apache-2.0
"""The sentences of `--explain`."""

from collections.abc import Sequence

from gpushare.model.promise import unprotected
from gpushare.model.spec import GpuGrant, ShareSpec
from gpushare.model.units import format_bytes

from .room import Room
from .stack import Stack


def why(stack: Stack, rooms: Sequence[Room], grants: Sequence[GpuGrant]) -> tuple[str, ...]:
    return (*stack.why, *(_place(room, grant) for room, grant in zip(rooms, grants, strict=True)))


def gaps(stack: Stack, spec: ShareSpec) -> tuple[str, ...]:
    return (*unprotected(stack.promises, whole=stack.whole), *_burst(spec))


def _burst(spec: ShareSpec) -> list[str]:
    if spec.memory.request is None or spec.memory.request == spec.memory.limit:
        return []
    return ["memory between the request and the limit is not reserved: others may take it first"]


def _place(room: Room, grant: GpuGrant) -> str:
    left = format_bytes(room.free - grant.request)
    names = ", ".join(share.name for share in room.shares)
    company = f"beside {names}" if names else "empty until now"
    return f"on GPU {room.gpu.index} ({room.gpu.name}), {company}: {left} of its memory stay free"
