# SPDX-License-Identifier: Apache-2.0
"""What can be done to one share to take back what it has borrowed, and the state afterwards."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Rung
from gpushare.model.promise import adjustable, stack_of
from gpushare.model.share import Cause, Decision, Share, State, Suspension
from gpushare.model.spec import ShareSpec
from gpushare.model.units import Bytes, Percent
from gpushare.scheduler.capacity.room import rooms
from gpushare.scheduler.request.state import Snapshot

from .relocate import relocate


def after(state: Snapshot, actions: Iterable[Action]) -> Snapshot:
    """The state after the actions."""
    for action in actions:
        state = _done(state, action)
    return state


def _done(state: Snapshot, action: Action) -> Snapshot:
    share = next(share for share in state.shares if share.id == action.share)
    if action.rung is Rung.SUSPEND:
        return _put(_with_leftovers(state, share), _suspended(state, share))
    if action.rung is Rung.EVICT:
        return _put(state, share, gone=True)
    return _put(state, replace(share, decision=action.to))


def _put(state: Snapshot, share: Share, *, gone: bool = False) -> Snapshot:
    shares = ((() if gone else (share,)) if s.id == share.id else (s,) for s in state.shares)
    return replace(state, shares=tuple(share for kept in shares for share in kept))


def _suspended(state: Snapshot, share: Share) -> Share:
    suspension = Suspension(cause=Cause.RECLAIM, since=state.now or share.created)
    return replace(share, state=State.SUSPENDED, suspension=suspension)


def _with_leftovers(state: Snapshot, share: Share) -> Snapshot:
    """Contexts stay on the GPU: one for each program that is known."""
    # A running share has a program, whether its record names one or not.
    programs = max(len(share.members), int(share.state is State.RUNNING))
    gpus = share.decision.gpus if share.decision else ()
    left = {
        gpu: Bytes(state.foreign.get(gpu, 0) + programs * state.machine.context.get(gpu, 0))
        for gpu in gpus
    }
    return replace(state, foreign=state.foreign | left)


def can_throttle(state: Snapshot, share: Share) -> bool:
    """Its guaranteed compute can be lowered while it runs.

    Of shares that take turns only the largest counts, so lowering one may free nothing.
    """
    decision = share.decision
    if decision is None or share.spec.turns:
        return False
    if not adjustable(stack_of(state.promises, decision.mechanisms), "compute"):
        return False
    return any(grant.compute_request for grant in decision.grants)


def throttled(decision: Decision, most: Iterable[int]) -> Decision:
    """The decision with at most this compute guaranteed on each GPU, in percent."""
    grants = (
        replace(grant, compute_request=Percent(min(grant.compute_request, top)))
        for grant, top in zip(decision.grants, most, strict=True)
    )
    return replace(decision, grants=tuple(grants))


def moves(state: Snapshot, share: Share, away: frozenset[GpuId]) -> Iterator[Decision]:
    """Decisions that put what the share has on those GPUs elsewhere, tightest place first.

    It keeps its mechanisms and its other GPUs.
    """
    decision = share.decision
    assert decision is not None
    leaves = [gpu for gpu in decision.gpus if gpu in away]
    for targets in combinations(_targets(state, share, away), len(leaves)):
        to = dict(zip(leaves, targets, strict=True))
        try:
            yield relocate(state, share, [to.get(gpu, gpu) for gpu in decision.gpus])
        except GpushareError:
            continue


def has_place(state: Snapshot, action: Action) -> bool:
    """Whether a share that is moved has room where it is to go."""
    share = next(share for share in state.shares if share.id == action.share)
    try:
        return action.to is not None and bool(relocate(state, share, action.to.gpus))
    except GpushareError:
        return False


def _targets(state: Snapshot, share: Share, away: frozenset[GpuId]) -> list[GpuId]:
    """GPUs that it is not on and that have room for something of it, tightest first.

    It may have named those that it wants.
    """
    grants = share.decision.grants if share.decision else ()
    taken = away | {grant.gpu for grant in grants}
    least = min((grant.request for grant in grants if grant.gpu in away), default=0)
    candidates = [(room.free(turns=share.spec.turns), room.gpu) for room in rooms(state)]
    rooms_there = [
        (room_left, gpu.index, gpu)
        for room_left, gpu in candidates
        if room_left >= least and gpu.uuid not in taken
    ]
    return [gpu.uuid for *_, gpu in sorted(rooms_there) if may_use(share.spec, gpu)]


def may_use(spec: ShareSpec, gpu: Gpu) -> bool:
    """Whether it is one of those that were named, if any were."""
    return not spec.gpu or bool({gpu.uuid, str(gpu.index)} & set(spec.gpu))
