# SPDX-License-Identifier: Apache-2.0
"""A second share for a probe that competes with a share, to try what that is guaranteed.

It exists for seconds, in the region folder and on the GPU pages only: no record, no MPS daemon of
its own. A daemon that is killed meanwhile leaves a region that `clean` lists, and share slots that
each pass frees.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from gpushare.guard import ShareSlot
from gpushare.mechanisms.mechanism import Mechanism, Rival
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL, MIB, Bytes, Percent

_ROOM = Bytes(256 * MIB)  # for what the rival's kernel needs besides its context
_LEAST_NS = 300_000_000  # a shorter wish for the GPU says nothing
_Slots = Mapping[GpuId, ShareSlot]


@contextmanager
def rival(guard: Mechanism, share: Share, context: Callable[[GpuId], Bytes]) -> Iterator[Rival]:
    """Raises HardwareError. `context`: what one CUDA context costs."""
    assert share.decision is not None
    other = _other(share, context)
    assert other.decision is not None
    try:
        edits = guard.prepare(other, other.decision.grants)
        before = guard.observe(share).share_slots

        def given(gpu: GpuId) -> float | None:
            now = guard.observe(share).share_slots
            there = guard.observe(other).share_slots
            # Another part of the daemon may have freed the slot before a process lived on it.
            return _given(before, now, gpu) if gpu in there else None

        yield Rival(edits=edits, given=given)
    finally:
        guard.release(other)


def _other(share: Share, context: Callable[[GpuId], Bytes]) -> Share:
    assert share.decision is not None
    grants = tuple(_rest(grant, context(grant.gpu)) for grant in share.decision.grants)
    name = ShareId(share.id[::-1])
    return replace(share, id=name, decision=replace(share.decision, grants=grants))


def _rest(grant: GpuGrant, context: Bytes) -> GpuGrant:
    """All that the share is not guaranteed, with room for a context."""
    room = Bytes(context + _ROOM)
    compute = Percent(FULL - grant.compute_request)
    return replace(grant, limit=room, request=room, compute=Percent(FULL), compute_request=compute)


def _given(before: _Slots, now: _Slots, gpu: GpuId) -> float | None:
    if gpu not in before or gpu not in now:
        return None
    wanted = now[gpu].wanted_ns - before[gpu].wanted_ns
    return FULL * (_had(now[gpu]) - _had(before[gpu])) / wanted if wanted >= _LEAST_NS else None


def _had(slot: ShareSlot) -> int:
    """GPU time; work that ran over the end of a turn is part of it."""
    return slot.open_ns + slot.overrun_ns
