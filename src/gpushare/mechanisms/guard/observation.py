# SPDX-License-Identifier: Apache-2.0
"""What a region and its living slots say of a share."""

from collections.abc import Sequence

from gpushare.guard import Flag, RegionSlot, RegionSnapshot, ShareSlot
from gpushare.mechanisms.mechanism import Moves, Observation
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

_MOST = 2**63 - 1  # of a counter: the tenant can write any number, and JSON ends there


def observation(
    region: RegionSnapshot,
    slots: Sequence[RegionSlot],
    pids: tuple[int, ...],
    share_slots: dict[GpuId, ShareSlot],
    *,
    missing: Bytes,
) -> Observation:
    """`slots`: the living ones. `missing`: host memory that a suspend lacks."""
    cached = _cached(region)
    moves = Moves(
        halt=region.suspend,
        slots=tuple(slots),
        movable=Flag.MOVABLE in region.flags,
        former=region.former,
        needed=_needed(region, slots),
        missing=missing,
    )
    return Observation(
        used={gpu.uuid: _charged(slots, gpu.uuid) for gpu in region.gpus},
        peak={gpu.uuid: gpu.peak for gpu in region.gpus},
        pids=pids,
        counted=pids,
        denied=min(_MOST, sum(gpu.denied for gpu in region.gpus)),
        cached=cached,
        share_slots=share_slots,
        moves=moves,
        unlisted=min(_MOST, region.unlisted),
        unhooked=min(_MOST, region.unhooked),
    )


def host_wanted(region: RegionSnapshot, slots: Sequence[RegionSlot]) -> Bytes:
    """What a suspend needs of the host beyond what is ready or in use."""
    ready = sum(min(slot.host, slot.movable) for slot in slots)
    return Bytes(max(0, _needed(region, slots) - ready))


def _needed(region: RegionSnapshot, slots: Sequence[RegionSlot]) -> Bytes:
    """What is cached is freed instead of moved."""
    return Bytes(max(0, sum(slot.movable for slot in slots) - _cached(region)))


def _cached(region: RegionSnapshot) -> Bytes:
    return Bytes(sum(gpu.cached for gpu in region.gpus))


def _charged(slots: Sequence[RegionSlot], gpu: GpuId) -> Bytes:
    return Bytes(sum(slot.charged.get(gpu, 0) for slot in slots))
