# SPDX-License-Identifier: Apache-2.0
"""What may change about a placed share: its grants, and its return to them. Pure."""

from datetime import datetime

from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError, NoCapacityError, UnsupportedError
from gpushare.model.gpu import Gpu
from gpushare.model.promise import Adjustable, adjustable, stack_of
from gpushare.model.share import Decision, Share
from gpushare.model.spec import GpuGrant, ShareSpec
from gpushare.scheduler.capacity.room import grant_on, never, shortage, unfit_company
from gpushare.scheduler.capacity.timeline import Calendar, Window, timeline
from gpushare.scheduler.request.mechanisms import Stack
from gpushare.scheduler.request.state import Request, Snapshot

from .fit import Candidate


def hindrance(state: Snapshot, share: Share) -> str:
    """What a suspended share has to wait for before it can be resumed; "" for nothing.

    It also waits for reservations that begin before it ends.
    """
    decision = share.decision
    assert decision is not None
    calendar, candidate = _without(state, share), _current_candidate(state, share, decision)
    grants = {grant.gpu: grant for grant in decision.grants}
    for gpu in candidate.gpus:
        if gpu.health.lost:
            return f"GPU {gpu.index}, which is lost"
        if reason := _hindered(calendar, candidate, gpu, grants[gpu.uuid], share):
            return reason
    return ""


def _hindered(
    calendar: Calendar, candidate: Candidate, gpu: Gpu, grant: GpuGrant, share: Share
) -> str:
    """Company or shortage there, as long as the share will be."""
    turns = candidate.spec.turns
    for moment in _moments(calendar, gpu, share):
        room = calendar.room(gpu, moment)
        company = unfit_company(room, candidate.stack.base, candidate.request)
        if reason := company or shortage(room, grant, turns=turns):
            return reason
    return ""


def regrant(state: Snapshot, share: Share, spec: ShareSpec) -> Decision:
    """The share's decision under another spec, on the GPUs and by the mechanisms it has.

    Raises UnsupportedError where its mechanisms cannot change that, NeverFitsError where its GPUs
    are too small, NoCapacityError where others have what it wants, or will have it by reservation.
    """
    assert share.decision is not None
    _check_mechanisms(state, share, share.decision, spec)
    calendar = _without(state, share)
    gpus = _current_candidate(state, share, share.decision).gpus
    grants = tuple(_changed(calendar, gpu, share, spec) for gpu in gpus)
    return replace(share.decision, grants=grants)


def _changed(calendar: Calendar, gpu: Gpu, share: Share, spec: ShareSpec) -> GpuGrant:
    # Conditions chose the GPUs when the share was placed; a change of its size stays on them.
    request = Request(spec=replace(spec, select=()), uid=share.uid)
    if reason := never(gpu, request):
        raise NeverFitsError("the share can never be as large as that", reason, "gpushare gpus")
    grant = grant_on(gpu, spec)
    # A suspended share holds no room. Whether the new size fits is asked when it is resumed.
    if share.aside:
        return grant
    rooms = (calendar.room(gpu, moment) for moment in _moments(calendar, gpu, share))
    short = (shortage(room, grant, turns=spec.turns) for room in rooms)
    if reason := next(filter(None, short), ""):
        raise NoCapacityError(
            "the share cannot grow now",
            f"it would need {reason}",
            "see which shares have it: gpushare ps",
        )
    return grant


def _without(state: Snapshot, share: Share) -> Calendar:
    others = tuple(other for other in state.shares if other.id != share.id)
    return timeline(replace(state, shares=others), without=share.id)


def _moments(calendar: Calendar, gpu: Gpu, share: Share) -> list[datetime]:
    end = share.expires
    # A share whose time is over still has its place until its programs have ended.
    over = end is not None and end <= calendar.start
    return calendar.moments(gpu, Window(start=calendar.start, end=None if over else end))


def _current_candidate(state: Snapshot, share: Share, decision: Decision) -> Candidate:
    """The share as a candidate for the places that it has, in the order of its grants."""
    gpus = {gpu.uuid: gpu for gpu in state.machine.gpus}
    return Candidate(
        request=Request(spec=share.spec, uid=share.uid, tenant=share.tenant, id=share.id),
        stack=Stack(promises=stack_of(state.promises, decision.mechanisms)),
        gpus=tuple(gpus[grant.gpu] for grant in decision.grants if grant.gpu in gpus),
    )


def _check_mechanisms(state: Snapshot, share: Share, decision: Decision, spec: ShareSpec) -> None:
    stack, old = stack_of(state.promises, decision.mechanisms), share.spec
    changes: tuple[tuple[Adjustable, bool], ...] = (
        ("compute", spec.compute != old.compute),
        ("priority", spec.priority is not old.priority),
        ("memory", spec.memory != old.memory),
    )
    for what, changed in changes:
        if changed and not adjustable(stack, what):
            raise UnsupportedError(
                f"the {what} of share {share.name} cannot change while it lives",
                f"{'+'.join(decision.mechanisms)} cannot change it",
                "release it and create it again: gpushare rm",
            )
