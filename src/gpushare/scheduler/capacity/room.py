# SPDX-License-Identifier: Apache-2.0
"""What is left on one GPU, and whether a grant fits there.

Model: a GPU has usable memory (its memory less what the driver keeps) and 100 percent of compute.
Shares count with what is *guaranteed* to them, their request; the limit may exceed it, and is not
reserved. Shares that take memory turns count with the largest of them, because only one is on the
GPU at a time, and with what of the others host memory cannot hold. A share suspended other than
for a turn (`aside`) counts nothing: others may have its
room. Memory of programs outside gpushare (`foreign`) counts as it is.

Invariants:
- free = usable - guaranteed - turns - foreign, never below zero, where turns = the largest of them,
  or all of them less the host memory that is there for the others.
- A share that has a GPU alone admits no other, and is not admitted next to another.
- Texts name a share only where the caller may know its name; others are counted.
- `never` depends on the GPU only, `refusal` also on the shares there now: the first ends in an
  error, the second in waiting.
"""

from collections.abc import Iterable

from gpushare.model.errors import BadSpecError
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.policy.tenant import Visibility
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant, MechanismName, ShareSpec
from gpushare.model.units import FULL, GIB, Bytes, Percent, format_bytes
from gpushare.model.value import Value
from gpushare.scheduler.request.affinity import conflict
from gpushare.scheduler.request.mechanisms import Stack
from gpushare.scheduler.request.select import selectors
from gpushare.scheduler.request.state import Request, Snapshot


class Guaranteed(Value):
    """What is guaranteed to shares: bytes, and percent of the GPU."""

    memory: Bytes = Bytes(0)
    compute: Percent = Percent(0)


class Room(Value):
    """One GPU with the shares on it.

    `held`: by those that take no turns; `turning`: by the largest of those that do. `aside`: shares
    that are suspended, whose room others may have until they are resumed. `foreign`: bytes held by
    programs outside any share, or left there by suspended ones. `all_turns`: bytes that those which
    take turns may have together, `host`: those that can leave the GPU; None: any number. `alone`: a
    share there suffers no other. `names_visible`: any user may see the names of the shares there.
    `unready`: why a mechanism serves no new share there now.
    """

    gpu: Gpu
    shares: tuple[Share, ...] = ()
    held: Guaranteed = Guaranteed()
    turning: Guaranteed = Guaranteed()
    all_turns: Bytes = Bytes(0)
    host: Bytes | None = None
    aside: tuple[Share, ...] = ()
    alone: bool = False
    foreign: Bytes = Bytes(0)
    names_visible: bool = False
    unready: dict[MechanismName, str] = {}

    def free(self, *, turns: bool = False) -> Bytes:
        """Memory for one more share.

        One that takes turns may have what others of its kind have, as far as host memory can hold
        either.
        """
        shared = self.stays if turns else max(self.turning.memory, self.stays)
        return Bytes(max(0, self.gpu.usable - self.held.memory - shared - self.foreign))

    @property
    def stays(self) -> Bytes:
        """What shares that take turns have on the GPU for want of host memory."""
        return Bytes(0 if self.host is None else max(0, self.all_turns - self.host))

    def compute(self, *, turns: bool = False) -> Percent:
        """Percent for one more share.

        One that takes turns may have what others of its kind have.
        """
        shared = 0 if turns else self.turning.compute
        return Percent(max(0, FULL - self.held.compute - shared))

    def strangers(self, base: MechanismName, uid: int) -> list[Share]:
        """Other users' shares that are made real by the same base."""
        return [
            share
            # Suspended shares too: their contexts stay, so their programs remain clients of the MPS
            # server.
            for share in (*self.shares, *self.aside)
            if share.decision and share.decision.mechanisms[0] is base and share.uid != uid
        ]

    def names(self, shares: Iterable[Share], asker: Request) -> str:
        """Those that the asker may know of by name, the others by number."""
        shares = list(shares)
        visible = [share.name for share in shares if self.names_visible or knows(asker, share)]
        hidden = len(shares) - len(visible)
        others = [f"{hidden} share{'s' * (hidden > 1)} of others"] if hidden else []
        return ", ".join(visible + others)

    @property
    def label(self) -> str:
        """The GPU's name in reasons."""
        return f"GPU {self.gpu.index}"


def knows(asker: Request, share: Share) -> bool:
    """Whether the caller may know the share's name, whatever the policy is."""
    return not asker.tenant or asker.tenant == share.tenant


def rooms(state: Snapshot) -> list[Room]:
    """Every GPU as it is now; reservations are not there yet."""
    here = {gpu.uuid: list[Share]() for gpu in state.machine.gpus}
    for share in state.shares:
        for uuid in share.decision.gpus if share.decision else ():
            if uuid in here:
                here[uuid].append(share)
    return [room_of(state, gpu, here[gpu.uuid]) for gpu in state.machine.gpus]


def room_of(state: Snapshot, gpu: Gpu, shares: Iterable[Share]) -> Room:
    """The GPU with shares whose decisions say that they are on it."""
    without_others = {promise.mechanism for promise in state.promises if promise.alone}
    shares = tuple(shares)
    aside = tuple(share for share in shares if share.suspension and share.aside)
    present = tuple(share for share in shares if share not in aside) if aside else shares
    stacks = {share.decision.mechanisms for share in present if share.decision}
    return Room(
        gpu=gpu,
        shares=present,
        held=_guaranteed_sum(gpu, present),
        turning=_guaranteed_by_turns(gpu, present),
        all_turns=_all_turns(gpu, present),
        host=state.host.get(gpu.uuid),
        aside=aside,
        alone=not without_others.isdisjoint(name for stack in stacks for name in stack),
        foreign=state.foreign.get(gpu.uuid, Bytes(0)),
        names_visible=state.policy.visibility is Visibility.SHARES,
        unready=state.unready.get(gpu.uuid, {}),
    )


def _guaranteed_sum(gpu: Gpu, shares: Iterable[Share]) -> Guaranteed:
    grants = _grants(gpu, shares, turns=False)
    return Guaranteed(
        memory=Bytes(sum(grant.request for grant in grants)),
        compute=Percent(sum(grant.compute_request for grant in grants)),
    )


def _guaranteed_by_turns(gpu: Gpu, shares: Iterable[Share]) -> Guaranteed:
    grants = _grants(gpu, shares, turns=True)
    return Guaranteed(
        memory=Bytes(max((grant.request for grant in grants), default=0)),
        compute=Percent(max((grant.compute_request for grant in grants), default=0)),
    )


def _all_turns(gpu: Gpu, shares: Iterable[Share]) -> Bytes:
    return Bytes(sum(grant.limit for grant in _grants(gpu, shares, turns=True)))


def _grants(gpu: Gpu, shares: Iterable[Share], *, turns: bool) -> list[GpuGrant]:
    decisions = [s.decision for s in shares if s.decision and s.spec.turns is turns]
    return [grant for decision in decisions for grant in decision.grants if grant.gpu == gpu.uuid]


def grant_on(gpu: Gpu, spec: ShareSpec) -> GpuGrant:
    """What the spec means on this GPU.

    Memory is guaranteed up to its request, which is the limit by default. Compute is
    guaranteed only where some was asked for.
    """
    limit = gpu.usable
    if spec.memory.limit is not None:
        limit = spec.memory.limit
    elif spec.memory.share is not None:
        # Of the memory after the driver's reserve, so that five shares of 20 % fit on the GPU.
        limit = Bytes(gpu.usable * spec.memory.share // FULL)
    return GpuGrant(
        gpu=gpu.uuid,
        limit=limit,
        request=limit if spec.memory.request is None else spec.memory.request,
        compute=spec.compute.limit,
        compute_request=spec.compute.guaranteed,
    )


def below_context(machine: Machine, gpu: Gpu, spec: ShareSpec) -> BadSpecError | None:
    """Why no program could start with the limit on this GPU; None when one could.

    A limit includes the contexts of its programs. Where their cost was not measured, nothing is
    refused.
    """
    limit, cost = grant_on(gpu, spec).limit, machine.context.get(gpu.uuid, Bytes(0))
    if limit >= cost:
        return None
    return BadSpecError(
        f"no program could start with a memory limit of {format_bytes(limit)}",
        f"a CUDA context costs {format_bytes(cost)} on GPU {gpu.index}, and the limit includes it",
        f"give it more than a context: -m {cost // GIB + 1}GiB",
    )


def never(gpu: Gpu, request: Request) -> str:
    """Why the GPU could not hold the share even if it were empty; "" when it could."""
    unlike = (selector.refusal(gpu) for selector in selectors(request.spec))
    return next(filter(None, unlike), "") or _unusable(gpu, request) or _too_small(gpu, request)


def _unusable(gpu: Gpu, request: Request) -> str:
    if gpu.parent is not None and request.spec.gpus > 1:
        return f"GPU {gpu.index} is a MIG instance, and a program can use only one of those"
    # Neither health nor cordons are part of it: the GPU may be offered again.
    return gpu.unusable


def _too_small(gpu: Gpu, request: Request) -> str:
    grant = grant_on(gpu, request.spec)
    if grant.limit > gpu.usable:
        return f"GPU {gpu.index} has {format_bytes(gpu.usable)} for shares"
    if grant.request > grant.limit:
        return f"on GPU {gpu.index} the limit is {format_bytes(grant.limit)}, below the request"
    return ""


def refusal(room: Room, stack: Stack, request: Request) -> str:
    """What the share would have to wait for on this GPU; "" when it fits now."""
    # Here, not in `never`: a cordon is lifted and a lost GPU may come back, so the request waits.
    if withheld := room.gpu.withheld:
        return f"{room.label}, which {withheld}"
    need = grant_on(room.gpu, request.spec)
    company = unready(room, stack) or unfit_company(room, stack, request)
    return company or shortage(room, need, turns=request.spec.turns)


def unready(room: Room, stack: Stack) -> str:
    """Which mechanism serves no new share there now; "" when each does.

    Not for shares that are there: theirs is in the same trouble, and cannot end without them.
    """
    down = ((name, room.unready[name]) for name in stack.names if name in room.unready)
    return next((f"{room.label}, where {name} cannot be used now: {why}" for name, why in down), "")


def unfit_company(room: Room, stack: Stack, request: Request) -> str:
    """Which share or program prevents it there; "" when none does."""
    base = stack.base
    if room.alone:
        return f"{room.label}, which {room.names(room.shares, request)} has alone"
    direct = [share for share in room.shares if _another_process(share, stack, request)]
    if room.gpu.admits_one and (direct or room.foreign):
        names = room.names(direct, request) or "programs outside gpushare"
        return f"{room.label}, which admits one process and has {names}"
    if base.alone and (room.shares or room.foreign):
        names = room.names(room.shares, request) or "programs outside gpushare"
        return f"{room.label} to be empty (now: {names})"
    strangers = room.strangers(base.mechanism, request.uid) if base.one_user else []
    if strangers:
        names = room.names(strangers, request)
        return f"{room.label}, where {base.mechanism} serves another user ({names})"
    if reason := conflict(room.shares, request) or crowd(room, stack):
        return f"{room.label}, {reason}"
    return ""


def _another_process(share: Share, stack: Stack, request: Request) -> bool:
    """Whether it and the request would not use the GPU through the same one process."""
    decision = share.decision
    if decision is None or decision.mechanisms[0] != stack.base.mechanism:
        return decision is not None
    # A share of several GPUs has a server of its own set of GPUs.
    return request.spec.gpus > 1 or len(decision.grants) > 1


def crowd(room: Room, stack: Stack) -> str:
    """Which mechanism takes no further share there; "" when each does."""
    for promise in stack.promises:
        # A suspended share keeps its slot: its programs map it as long as they live.
        users = [s.decision.mechanisms for s in (*room.shares, *room.aside) if s.decision]
        count = sum(promise.mechanism in names for names in users)
        if promise.max_shares is not None and count >= promise.max_shares:
            return f"where {promise.mechanism} serves {count} shares, the most it can"
    return ""


def shortage(room: Room, need: GpuGrant, *, turns: bool) -> str:
    """What is too little there; "" when nothing is."""
    memory, compute = room.free(turns=turns), room.compute(turns=turns)
    if need.request > memory:
        why = f"; host memory holds {format_bytes(room.host or 0)} of the others" * bool(
            turns and room.stays
        )
        return (
            f"{format_bytes(need.request)} of memory on {room.label} "
            f"({format_bytes(memory)} free{why})"
        )
    if need.compute_request > compute:
        return f"{need.compute_request} % of compute on {room.label} ({compute} % free)"
    return ""
