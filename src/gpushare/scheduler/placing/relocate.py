# SPDX-License-Identifier: Apache-2.0
"""Which other GPUs a share that runs could move to. Pure.

The driver restores a program only on GPUs of the model that it was on, one for one. Grants and
mechanisms stay what they are.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.model.errors import (
    BadSpecError,
    NeverFitsError,
    NoCapacityError,
    NoSuchGpuError,
    NotMigratableError,
)
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Placement
from gpushare.model.promise import stack_of, unmigratable
from gpushare.model.share import Decision, Share
from gpushare.scheduler.capacity.room import never, rooms
from gpushare.scheduler.request.state import Request, Snapshot

from .change import hindrance


def relocate(state: Snapshot, share: Share, to: Sequence[str] = ()) -> Decision:
    """The share's decision on other GPUs: those of `to` (index or UUID) in the order of its grants,
    else the ones that fit best. The decision that it has where it is there already.

    Raises NotMigratableError where the driver cannot move it there, NeverFitsError where the GPU is
    too small, NoCapacityError where others have the room, NoSuchGpuError, and BadSpecError for
    another number of GPUs than it has.
    """
    decision = share.decision
    assert decision is not None
    if reason := unmigratable(stack_of(state.promises, decision.mechanisms)):
        raise NotMigratableError(_what(share), reason, f"gpushare show {share.name}")
    targets = _named(state, share, to) if to else _chosen(state, share)
    if set(targets) == set(decision.gpus):
        return decision
    for old, new in zip(decision.gpus, targets, strict=True):
        _check_pair(state, share, old, new)
    moved = _at(decision, targets)
    if reason := hindrance(state, replace(share, decision=moved)):
        raise NoCapacityError(
            f"share {share.name} cannot move now", f"it waits for {reason}", "gpushare ps"
        )
    return replace(moved, why=(*decision.why, _moved_from(state, decision.gpus, targets)))


def why_stays(machine: Machine, share: Share) -> str:
    """Why the share can be on no other GPUs here, full or not; "" when it can."""
    gpus = share.decision.gpus if share.decision else ()
    return next((why for gpu in gpus if (why := _why_irreplaceable(machine, share, gpu))), "")


def _why_irreplaceable(machine: Machine, share: Share, gpu: GpuId) -> str:
    others = _alike(machine, share, gpu)
    if not others:
        index = next((f"GPU {it.index}" for it in machine.gpus if it.uuid == gpu), gpu)
        return f"no other GPU here is like {index}"
    open_ = [other for other in others if _named_by(share, other)]
    if not open_:
        pins = (f"GPU {name}" if name.isdigit() else name for name in share.spec.gpu)
        return f"--gpu or CUDA_VISIBLE_DEVICES pins it to {', '.join(pins)}"
    unfit = [never(other, _request(share)) for other in open_]
    return "; ".join(unfit) if all(unfit) else ""


def _alike(machine: Machine, share: Share, gpu: GpuId) -> list[Gpu]:
    """The GPUs that the share does not have and what runs on this one could move to."""
    here = next((other for other in machine.gpus if other.uuid == gpu), None)
    own = share.decision.gpus if share.decision else ()
    others = [other for other in machine.gpus if other.uuid not in own]
    return [other for other in others if here is not None and not _unlike(here, other)]


def _named(state: Snapshot, share: Share, to: Sequence[str]) -> list[GpuId]:
    assert share.decision is not None
    gpus = list(dict.fromkeys(_gpu(state, name).uuid for name in to))
    if len(gpus) != len(share.decision.gpus):
        raise BadSpecError(
            f"share {share.name} has {len(share.decision.gpus)} GPUs, {len(gpus)} are named",
            "each GPU that it has is replaced by another",
            "name as many as it has: --to 2 --to 3",
        )
    return gpus


def _chosen(state: Snapshot, share: Share) -> list[GpuId]:
    """For each GPU of the share another one, by the policy's way of placing."""
    decision = share.decision
    assert decision is not None
    taken: list[GpuId] = []
    for old in decision.gpus:
        if reason := _why_irreplaceable(state.machine, share, old):
            hint = f"gpushare migrate {share.name} --to GPU" if share.spec.gpu else "gpushare gpus"
            raise NotMigratableError(_what(share), reason, hint)
        others = _alike(state.machine, share, old)
        kin = [gpu.uuid for gpu in others if _allows(share, gpu)]
        taken.append(_best(state, share, old, [new for new in kin if new not in taken]))
    return taken


def _allows(share: Share, gpu: Gpu) -> bool:
    """By its size and by what was asked for."""
    return _named_by(share, gpu) and not never(gpu, _request(share))


def _named_by(share: Share, gpu: Gpu) -> bool:
    """Whether the share may be on this GPU by what names its GPUs."""
    return not share.spec.gpu or not {gpu.uuid, str(gpu.index)}.isdisjoint(share.spec.gpu)


def _best(state: Snapshot, share: Share, old: GpuId, kin: Sequence[GpuId]) -> GpuId:
    reasons = {new: _hindered(state, share, old, new) for new in kin}
    free = {room.gpu.uuid: room.free() for room in rooms(state)}
    open_ = [new for new in kin if not reasons[new]]
    if not open_:
        waits = " or ".join(reasons.values()) or "as many GPUs as it has"
        raise NoCapacityError(
            f"share {share.name} cannot move now", f"it waits for {waits}", "gpushare ps"
        )
    spread = state.policy.placement is Placement.SPREAD
    return min(open_, key=lambda new: -free[new] if spread else free[new])


def _hindered(state: Snapshot, share: Share, old: GpuId, new: GpuId) -> str:
    """What is in the way of the grant on `old`, were it on `new`."""
    assert share.decision is not None
    there = _gpu(state, new)
    if there.withheld:
        return f"GPU {there.index}, which {there.withheld}"
    grants = tuple(grant for grant in share.decision.grants if grant.gpu == old)
    decision = _at(replace(share.decision, grants=grants), [new])
    return hindrance(state, replace(share, decision=decision))


def _at(decision: Decision, gpus: Sequence[GpuId]) -> Decision:
    pairs = zip(decision.grants, gpus, strict=True)
    return replace(decision, grants=tuple(replace(grant, gpu=gpu) for grant, gpu in pairs))


def _check_pair(state: Snapshot, share: Share, old: GpuId, new: GpuId) -> None:
    if old == new:
        return
    here, there = _gpu(state, old), _gpu(state, new)
    if there.withheld:
        raise NoCapacityError(
            f"share {share.name} cannot move now",
            f"it waits for GPU {there.index}, which {there.withheld}",
            "gpushare gpus",
        )
    if reason := _unlike(here, there):
        raise NotMigratableError(_what(share), reason, "gpushare gpus")
    if reason := never(there, _request(share)):
        raise NeverFitsError(f"share {share.name} can never be there", reason, "gpushare gpus")


def _unlike(here: Gpu, there: Gpu) -> str:
    """Why the driver restores nothing of one on the other; "" when it does."""
    if here.parent is not None or there.parent is not None:
        return "the driver moves no programs of MIG instances"
    if (here.name, here.memory_total) != (there.name, there.memory_total):
        return f"GPU {there.index} is another model than GPU {here.index}"
    return ""


def _gpu(state: Snapshot, name: str) -> Gpu:
    for gpu in state.machine.gpus:
        if name in {gpu.uuid, str(gpu.index)}:
            return gpu
    indices = ", ".join(str(gpu.index) for gpu in state.machine.gpus)
    raise NoSuchGpuError(f"no GPU {name!r}", f"this machine has {indices}", "gpushare gpus")


def _request(share: Share) -> Request:
    return Request(spec=share.spec, uid=share.uid, tenant=share.tenant, id=share.id)


def _what(share: Share) -> str:
    return f"share {share.name} cannot move to another GPU"


def _label(state: Snapshot, gpu: GpuId) -> str:
    return f"GPU {_gpu(state, gpu).index}"


def _moved_from(state: Snapshot, old: Sequence[GpuId], new: Sequence[GpuId]) -> str:
    moves = (f"{_label(state, a)} to {_label(state, b)}" for a, b in zip(old, new, strict=True))
    return f"moved from {', '.join(moves)}"
