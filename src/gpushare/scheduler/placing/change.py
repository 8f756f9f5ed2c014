# SPDX-License-Identifier: Apache-2.0
"""What may change about a placed share: its grants, and its return to them. Pure."""

from datetime import datetime

from msgspec.structs import replace

from gpushare.model.errors import NeverFitsError, NoCapacityError, UnsupportedError
from gpushare.model.gpu import Gpu
from gpushare.model.promise import Adjustable, adjustable, stack_of
from gpushare.model.share import Decision, Share
from gpushare.model.spec import GpuGrant, ShareSpec
from gpushare.scheduler.capacity.room import below_context, grant_on, never, shortage, unfit_company
from gpushare.scheduler.capacity.timeline import Calendar, Window, describe_kept, timeline
from gpushare.scheduler.request.mechanisms import Stack
from gpushare.scheduler.request.state import Request, Snapshot

from .fit import Candidate
from .line import served

_LATER = "the share cannot have that until then"


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
        if manned := [cordon for cordon in gpu.cordons if not cordon.automatic]:
            return f"GPU {gpu.index}, which {manned[0].text}"
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
        company = unfit_company(room, candidate.stack, candidate.request)
        if reason := company or shortage(room, grant, turns=turns):
            return reason
    return ""


def regrant(state: Snapshot, share: Share, changed: Share) -> Decision:
    """The share's decision with the spec and the end that `changed` has, on the GPUs and by the
    mechanisms it has.

    What it would have more, memory, compute or time, is checked as if it were asked for by a new
    share: against other shares, reservations and the first in the queue.

    Raises UnsupportedError where its mechanisms cannot change that, BadSpecError where no program
    could start with the limit, NeverFitsError where its GPUs are too small, NoCapacityError where
    others have what it wants, or will have it by reservation.
    """
    assert share.decision is not None
    _check_mechanisms(state, share, share.decision, changed.spec)
    calendar = served(timeline(state)).calendar.without(share.id)
    gpus = _current_candidate(state, share, share.decision).gpus
    if changed.spec.memory != share.spec.memory:
        for gpu in gpus:
            if error := below_context(state.machine, gpu, changed.spec):
                raise error
    grants = tuple(_changed(calendar, gpu, share, changed) for gpu in gpus)
    return replace(share.decision, grants=grants)


def _changed(calendar: Calendar, gpu: Gpu, share: Share, changed: Share) -> GpuGrant:
    # Conditions chose the GPUs when the share was placed; a change of its size stays on them.
    request = Request(spec=replace(changed.spec, select=()), uid=share.uid)
    if reason := never(gpu, request):
        raise NeverFitsError("the share can never be as large as that", reason, "gpushare gpus")
    grant = grant_on(gpu, changed.spec)
    # A suspended share holds no room. Whether the new size fits is asked when it is resumed.
    if share.aside:
        return grant
    moments = _more_at(calendar, gpu, share, replace(changed, decision=_one(share, grant)))
    for moment in moments:
        if reason := shortage(calendar.room(gpu, moment), grant, turns=changed.spec.turns):
            raise _no_more(calendar, gpu, moment, request, reason)
    return grant


def _more_at(calendar: Calendar, gpu: Gpu, share: Share, changed: Share) -> list[datetime]:
    """When it would have more there than it has now; smaller and shorter is never refused."""
    if _grows(share, changed):
        return _moments(calendar, gpu, changed)
    if share.expires is None or not _stays_longer(share, changed):
        return []
    return calendar.moments(gpu, Window(start=share.expires, end=changed.expires))


def _one(share: Share, grant: GpuGrant) -> Decision:
    assert share.decision is not None
    return replace(share.decision, grants=(grant,))


def wants_more(share: Share, changed: Share) -> bool:
    """Whether the change gives it memory, compute or time that it does not have."""
    return _grows(share, changed) or _stays_longer(share, changed)


def _grows(share: Share, changed: Share) -> bool:
    assert share.decision is not None
    assert changed.decision is not None
    before = {grant.gpu: grant for grant in share.decision.grants}
    pairs = ((before[grant.gpu], grant) for grant in changed.decision.grants)
    return any(
        new.request > old.request or new.compute_request > old.compute_request for old, new in pairs
    )


def _stays_longer(share: Share, changed: Share) -> bool:
    if share.expires is None:
        return False
    return changed.expires is None or changed.expires > share.expires


def _no_more(
    calendar: Calendar, gpu: Gpu, moment: datetime, request: Request, reason: str
) -> NoCapacityError:
    kept = calendar.kept(gpu, moment)
    whose = f"; {describe_kept(calendar, kept[0], request)}" if kept else ""
    return NoCapacityError(
        "the share cannot have more now" if moment == calendar.start else _LATER,
        f"it would need {reason}{whose}",
        "see which shares have it: gpushare ps",
    )


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
