# SPDX-License-Identifier: Apache-2.0
"""What is left on one GPU, and whether a grant fits there."""

from gpushare.model.gpu import ComputeMode, Gpu
from gpushare.model.promise import Promise
from gpushare.model.share import Share
from gpushare.model.spec import ComputeAsk, GpuGrant, MechanismName, ShareSpec
from gpushare.model.units import FULL, Bytes, Percent, format_bytes
from gpushare.model.value import Value

from .stack import Stack
from .state import Request, Snapshot


class Room(Value):
    """One GPU with the shares on it.

    `aside`: shares that are suspended, whose room others may have until they are resumed.
    `foreign`: bytes held by programs outside any share, or left there by suspended ones.
    `alone`: a share there suffers no other.
    """

    gpu: Gpu
    shares: tuple[Share, ...] = ()
    aside: tuple[Share, ...] = ()
    alone: bool = False
    foreign: Bytes = Bytes(0)

    def grants(self, *, turns: bool) -> list[GpuGrant]:
        """Of the shares that take turns, or of the others."""
        decisions = (s.decision for s in self.shares if s.decision and s.spec.turns == turns)
        return [grant for d in decisions for grant in d.grants if grant.gpu == self.gpu.uuid]

    def free(self, *, turns: bool = False) -> Bytes:
        """Memory for one more share; who takes turns may have what the others of his kind have."""
        granted = sum(grant.request for grant in self.grants(turns=False))
        largest = max((grant.request for grant in self.grants(turns=True)), default=Bytes(0))
        shared = Bytes(0) if turns else largest
        return Bytes(max(0, self.gpu.usable - granted - shared - self.foreign))

    def compute(self, *, turns: bool = False) -> Percent:
        granted = sum(grant.compute_request for grant in self.grants(turns=False))
        largest = max(
            (grant.compute_request for grant in self.grants(turns=True)), default=Percent(0)
        )
        return Percent(FULL - granted - (0 if turns else largest))

    def strangers(self, base: MechanismName, uid: int) -> list[str]:
        """Names of other users' shares that are made real by the same base."""
        return [
            share.name
            for share in (*self.shares, *self.aside)
            if share.decision and share.decision.mechanisms[0] is base and share.uid != uid
        ]

    @property
    def label(self) -> str:
        return f"GPU {self.gpu.index}"


def rooms(state: Snapshot) -> list[Room]:
    alone = {promise.mechanism for promise in state.promises if promise.alone}
    return [_room(state, gpu, alone) for gpu in state.machine.gpus]


def _room(state: Snapshot, gpu: Gpu, alone: set[MechanismName]) -> Room:
    here = [(s, s.decision) for s in state.shares if s.decision and gpu.uuid in s.decision.gpus]
    present = [(share, decision) for share, decision in here if not share.aside]
    return Room(
        gpu=gpu,
        shares=tuple(share for share, _ in present),
        aside=tuple(share for share, _ in here if share.aside),
        alone=any(alone.intersection(decision.mechanisms) for _, decision in present),
        foreign=state.foreign.get(gpu.uuid, Bytes(0)),
    )


def grant_on(gpu: Gpu, spec: ShareSpec) -> GpuGrant:
    """What the spec means on this GPU.

    Memory is guaranteed up to its request, which is the limit unless said otherwise. Compute is
    guaranteed only where some was asked for.
    """
    limit = gpu.usable
    if spec.memory.limit is not None:
        limit = spec.memory.limit
    elif spec.memory.share is not None:
        limit = Bytes(gpu.usable * spec.memory.share // FULL)
    return GpuGrant(
        gpu=gpu.uuid,
        limit=limit,
        request=limit if spec.memory.request is None else spec.memory.request,
        compute=spec.compute.limit,
        compute_request=_guaranteed(spec.compute),
    )


def _guaranteed(compute: ComputeAsk) -> Percent:
    if compute.request is not None:
        return compute.request
    return compute.limit if compute.limit < FULL else Percent(0)


def never(gpu: Gpu, request: Request) -> str:
    """Why the GPU could not hold the share even if it were empty; "" when it could."""
    grant = grant_on(gpu, request.spec)
    if gpu.mig_enabled and gpu.parent is None:
        return f"GPU {gpu.index} is split by MIG; its instances are shared instead"
    if gpu.parent is not None and request.spec.gpus > 1:
        return f"GPU {gpu.index} is a MIG instance, and a program can use only one of those"
    if gpu.compute_mode is ComputeMode.PROHIBITED:
        return f"GPU {gpu.index} is in compute mode prohibited"
    if grant.limit > gpu.usable:
        return f"GPU {gpu.index} has {format_bytes(gpu.usable)} for shares"
    if grant.request > grant.limit:
        return f"on GPU {gpu.index} the limit is {format_bytes(grant.limit)}, below the request"
    return ""


def refusal(room: Room, stack: Stack, request: Request) -> str:
    """What the share would have to wait for on this GPU; "" when it fits now."""
    if room.gpu.health.lost:
        return f"{room.label}, which is lost"
    need = grant_on(room.gpu, request.spec)
    company = unfit_company(room, stack.base, request.uid)
    return company or shortage(room, need, turns=request.spec.turns)


def unfit_company(room: Room, base: Promise, uid: int) -> str:
    """Who is there that cannot be beside the share; "" when nobody is."""
    names = ", ".join(share.name for share in room.shares)
    if room.alone:
        return f"{room.label}, which {names} has alone"
    if base.alone and (room.shares or room.foreign):
        return f"{room.label} to be empty (now: {names or 'programs outside gpushare'})"
    strangers = room.strangers(base.mechanism, uid)
    if base.one_user and strangers:
        return f"{room.label}, where {base.mechanism} serves another user ({', '.join(strangers)})"
    return ""


def shortage(room: Room, need: GpuGrant, *, turns: bool) -> str:
    """What is too little there; "" when nothing is."""
    memory, compute = room.free(turns=turns), room.compute(turns=turns)
    if need.request > memory:
        return (
            f"{format_bytes(need.request)} of memory on {room.label} ({format_bytes(memory)} free)"
        )
    if need.compute_request > compute:
        return f"{need.compute_request} % of compute on {room.label} ({compute} % free)"
    return ""
