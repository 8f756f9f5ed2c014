# SPDX-License-Identifier: Apache-2.0
"""What may change about a share that has its place: its grants, and coming back to them. Pure."""

from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError, NoCapacityError, UnsupportedError
from gpushare.model.promise import Promise
from gpushare.model.share import Decision, Share
from gpushare.model.spec import GpuGrant, MechanismName, ShareSpec

from .room import Room, grant_on, never, rooms, shortage, unfit_company
from .state import Request, Snapshot


def hindrance(state: Snapshot, share: Share) -> str:
    """What a suspended share would have to wait for before it can come back; "" for nothing."""
    decision = share.decision
    assert decision is not None
    known = (p for p in state.promises if p.mechanism is decision.mechanisms[0])
    base = next(known, Promise(mechanism=decision.mechanisms[0]))
    for grant, room in _places(state, share, decision):
        if room.gpu.health.lost:
            return f"{room.label}, which is lost"
        company = unfit_company(room, base, share.uid)
        if reason := company or shortage(room, grant, turns=share.spec.turns):
            return reason
    return ""


def regrant(state: Snapshot, share: Share, spec: ShareSpec) -> Decision:
    """The share's decision under another spec, on the GPUs and by the mechanisms it has.

    Raises UnsupportedError where its mechanisms cannot change that, NeverFitsError where its GPUs
    are too small, NoCapacityError where others have what it wants.
    """
    assert share.decision is not None
    _check_mechanisms(share, share.decision, spec)
    places = _places(state, share, share.decision)
    grants = tuple(_changed(room, share, spec) for _, room in places)
    return replace(share.decision, grants=grants)


def _changed(room: Room, share: Share, spec: ShareSpec) -> GpuGrant:
    if reason := never(room.gpu, Request(spec=spec, uid=share.uid)):
        raise NeverFitsError("the share can never be as large as that", reason, "gpushare gpus")
    grant = grant_on(room.gpu, spec)
    if not share.aside and (reason := shortage(room, grant, turns=spec.turns)):
        raise NoCapacityError(
            "the share cannot grow now", f"it would need {reason}", "see who has it: gpushare ps"
        )
    return grant


def _places(state: Snapshot, share: Share, decision: Decision) -> list[tuple[GpuGrant, Room]]:
    """Each grant with its GPU, as it is without the share."""
    others = tuple(other for other in state.shares if other.id != share.id)
    found = {room.gpu.uuid: room for room in rooms(replace(state, shares=others))}
    return [(grant, found[grant.gpu]) for grant in decision.grants if grant.gpu in found]


def _check_mechanisms(share: Share, decision: Decision, spec: ShareSpec) -> None:
    stack, old = decision.mechanisms, share.spec
    guarded = MechanismName.GUARD in stack
    limited = guarded or MechanismName.DRIVER_LIMIT in stack
    wishes = (
        ("compute", spec.compute != old.compute and not guarded),
        ("priority", spec.priority is not old.priority and not guarded),
        ("memory", spec.memory != old.memory and not limited),
    )
    for what, impossible in wishes:
        if impossible:
            raise UnsupportedError(
                f"the {what} of share {share.name} cannot change while it lives",
                f"{'+'.join(stack)} cannot change it",
                "release it and ask anew: gpushare rm",
            )
