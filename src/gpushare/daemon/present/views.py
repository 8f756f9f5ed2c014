# SPDX-License-Identifier: Apache-2.0
"""Records as the API shows them."""

import pwd
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from msgspec.structs import replace

from gpushare.daemon.acts.suspend_methods import (
    why_no_host_memory,
    why_unmigratable,
    why_unmovable,
)
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.escape import EscapeCause
from gpushare.model.gpu import Gpu, GpuProcess, Machine
from gpushare.model.ids import GpuId, Tenant
from gpushare.model.promise import Promise, while_escaped
from gpushare.model.share import (
    WAITS_FOR_TURN,
    Cause,
    Decision,
    Enforcement,
    Moved,
    ProcessRef,
    Share,
    State,
    Tier,
    Verification,
)
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes, Percent
from gpushare.model.view import (
    ComputeView,
    GpuComputeView,
    GpuMemoryView,
    GpuView,
    GuardView,
    MemoryView,
    MigratableView,
    MoveView,
    QueueView,
    ShareView,
    SuspendableView,
)
from gpushare.scheduler import Waiting
from gpushare.scheduler.placing.relocate import why_stays

from .scheduling_view import gate_view, scheduling_view

_NO_MOVE = Moved()
_NS = 1e9
_NOTHING = Decision(grants=(), mechanisms=(), enforcement=Enforcement())


@cache
def user_name(uid: int) -> str:
    """The account's name, or the uid as text.

    Remembered, because name services are slow: a renamed account keeps its old name until the
    daemon starts again.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# Fields of a view that are those of the record.
_AS_RECORDED = (
    *("created", "started", "expires", "ended", "end", "log"),
    *("suspension", "asked", "escape", "proof", "spared"),
)


def share_view(
    share: Share,
    machine: Machine,
    observed: Observation,
    processes: Sequence[ProcessRef],
    waiting: Waiting | None,
    *,
    stack: Sequence[Promise] = (),
    delivered: Percent | None = None,
    idle_since: datetime | None = None,
    borrowed: bool | None = None,
    uncounted: Mapping[GpuId, Bytes | None] = {},
    releasing: bool = False,
) -> ShareView:
    """With everything that its owner may see; `for_strangers` removes the rest.

    `releasing`: what mechanisms made for it is being undone, so that much of it is gone.
    """
    decision = share.decision or _NOTHING
    pids = tuple(process.pid for process in processes)
    gpus = [gpu for gpu in machine.gpus if gpu.uuid in decision.gpus]
    return ShareView(
        id=share.id,
        name=share.name,
        tenant=share.tenant,
        user=user_name(share.uid),
        state=share.state,
        priority=share.spec.priority,
        isolation=share.spec.isolation,
        mechanism=decision.mechanisms,
        gpus=decision.gpus,
        memory=_memory(share, gpus, observed, pids, uncounted),
        compute=_compute(share, delivered),
        enforcement=_levels(share, decision, stack),
        verified=_verified(share),
        pids=pids,
        reason=_reason(share, waiting),
        queue=_queue(waiting),
        simulated=any(gpu.simulated for gpu in gpus or machine.gpus),
        why=decision.why,
        unprotected=decision.unprotected,
        turns=share.spec.turns,
        suspendable=None if releasing else _suspendable(share, stack, observed),
        migratable=None if releasing else _migratable(share, machine, stack, observed),
        moved=_moved(share, observed),
        scheduling=(scheduling := scheduling_view(share, observed)),
        gate=gate_view(scheduling),
        idle_since=idle_since,
        begins=share.spec.at if share.booking else None,
        borrowed=borrowed,
        promised=decision.enforcement,
        guard=_guard(observed),
        fault="" if releasing else observed.fault,
        releasing=releasing,
        move=_move(share, observed),
        **{name: getattr(share, name) for name in _AS_RECORDED},
    )


def for_strangers(view: ShareView, *, names: bool) -> ShareView:
    """What other users may know of a share: that it exists and what it holds.

    `names`: also its name, its owner, and how much it uses. Listed field by field, so that new
    fields of the view stay hidden.
    """
    memory, queue = view.memory, view.queue
    return ShareView(
        id=view.id,
        name=view.name if names else "",
        tenant=view.tenant if names else Tenant(""),
        user=view.user if names else "",
        state=view.state,
        priority=view.priority,
        isolation=view.isolation,
        mechanism=view.mechanism,
        gpus=view.gpus,
        memory=memory
        if names
        else replace(memory, used=None, peak=None, cached=None, uncounted=None),
        compute=view.compute if names else replace(view.compute, delivered=None),
        enforcement=view.promised or view.enforcement,
        verified=None,
        pids=(),
        created=view.created,
        started=view.started,
        expires=view.expires,
        reason="",
        queue=queue and replace(queue, waits_for=""),
        simulated=view.simulated,
        turns=view.turns,
        suspension=view.suspension,
        ended=view.ended,
        releasing=view.releasing,
    )


def _reason(share: Share, waiting: Waiting | None) -> str:
    """Of a damaged share also what to do."""
    if share.state is State.DAMAGED and share.damage:
        return f"{share.damage.reason}; end it: gpushare rm --force {share.name}"
    return share.reason or (waiting.waits_for if waiting else _away(share))


def _verified(share: Share) -> Verification | None:
    """As it was found, but not `ok` while something shows that a limit does not hold."""
    if share.verified is None or not active_escape(share):
        return share.verified
    return replace(share.verified, ok=False)


def active_escape(share: Share) -> tuple[EscapeCause, ...]:
    """What shows now that limits of the share do not hold."""
    if share.escape is None or not share.escape.active or not share.state.holds:
        return ()
    return share.escape.causes


def nearby(share: Share, machine: Machine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPUs and NUMA nodes that are close to the share's GPUs."""
    gpus = [gpu for gpu in machine.gpus if share.decision and gpu.uuid in share.decision.gpus]
    cpus = {cpu for gpu in gpus for cpu in gpu.cpus}
    return tuple(sorted(cpus)), tuple(sorted({gpu.numa for gpu in gpus if gpu.numa is not None}))


def gpu_view(gpu: Gpu, machine: Machine, holding: Iterable[Share], trouble: str = "") -> GpuView:
    """With the processes of all users; `VisibilityFilter.gpu` removes those of others."""
    holding = list(holding)
    plain, turns = _granted(gpu, holding)
    return GpuView(
        uuid=gpu.uuid,
        index=gpu.index,
        name=gpu.name,
        memory=GpuMemoryView(
            total=gpu.memory_total,
            reserved=gpu.memory_reserved,
            granted=Bytes(
                sum(grant.request for grant in plain)
                + max((grant.request for grant in turns), default=0)
            ),
            used=gpu.memory_used,
        ),
        compute=GpuComputeView(
            granted=Percent(
                sum(grant.compute_request for grant in plain)
                + max((grant.compute_request for grant in turns), default=0)
            ),
            used=gpu.utilisation,
        ),
        mechanisms=machine.offered(gpu),
        mig=tuple(other.uuid for other in machine.gpus if other.parent == gpu.uuid),
        topology=machine.links.get(gpu.uuid, {}),
        health=gpu.health,
        driver=gpu.driver,
        processes=gpu.processes,
        simulated=gpu.simulated,
        escapes=tuple(
            replace(cause, share=share.name)
            for share in holding
            for cause in active_escape(share)
            if cause.gpu == gpu.uuid
        ),
        trouble=trouble,
        confidential=gpu.confidential,
        cordons=gpu.cordons,
    )


def _granted(gpu: Gpu, holding: Iterable[Share]) -> tuple[list[GpuGrant], list[GpuGrant]]:
    """Grants of shares that have their room now: of ordinary ones, and of those that take turns."""
    plain: list[GpuGrant] = []
    turns: list[GpuGrant] = []
    for share in holding:
        if share.decision and not share.aside:
            here = (grant for grant in share.decision.grants if grant.gpu == gpu.uuid)
            (turns if share.spec.turns else plain).extend(here)
    return plain, turns


def _away(share: Share) -> str:
    hindered = share.suspension.hindered if share.suspension else ""
    match share.suspension.cause if share.suspension else None:
        case Cause.TURN:
            return f"{WAITS_FOR_TURN}: {hindered}" if hindered else WAITS_FOR_TURN
        case Cause.RECLAIM:
            return "its room is needed for a guarantee; it resumes when there is room"
        case Cause.IDLE:
            return f"it was idle; gpushare resume {share.name}"
        case _:
            return ""


def _suspendable(
    share: Share, stack: Sequence[Promise], observed: Observation
) -> SuspendableView | None:
    if share.decision is None or share.state.ended:
        return None
    moves, away = observed.moves, share.suspension is not None
    because = why_unmovable(stack, observed) or ("" if away else why_no_host_memory(observed))
    if because or moves is None or away:
        return SuspendableView(yes=not because, because=because)
    unready = Bytes(moves.memory - moves.host)
    return SuspendableView(yes=True, memory=moves.memory, unready=unready)


def _move(share: Share, observed: Observation) -> MoveView | None:
    """As its programs report it; None while none of them is to move."""
    moves = observed.moves
    if moves is None or share.state.ended:
        return None
    if moves.leaving:
        return MoveView(way="out", moved=moves.gone, total=moves.memory)
    if moves.returning:
        return MoveView(way="back", moved=Bytes(moves.memory - moves.gone), total=moves.memory)
    return None


def _migratable(
    share: Share, machine: Machine, stack: Sequence[Promise], observed: Observation
) -> MigratableView | None:
    if share.decision is None or share.state.ended:
        return None
    because = why_unmigratable(share, stack, observed) or why_stays(machine, share)
    return MigratableView(yes=not because, because=because)


def _moved(share: Share, observed: Observation) -> dict[Tier, Moved]:
    """As recorded; a share that takes turns moves without a record, so its region is used."""
    slots = observed.moves.slots if observed.moves else ()
    if not share.spec.turns or not any(slot.out_ns for slot in slots):
        return share.moved
    kept = share.moved.get(Tier.MEMORY, _NO_MOVE)
    newest = replace(
        kept,
        out_seconds=max(slot.out_ns for slot in slots) / _NS,
        # `in_ns` is 0 until the first return.
        in_seconds=max(slot.in_ns for slot in slots) / _NS or kept.in_seconds,
    )
    return {**share.moved, Tier.MEMORY: newest}


def _levels(share: Share, decision: Decision, stack: Sequence[Promise]) -> Enforcement:
    return while_escaped(decision.enforcement, stack, active_escape(share))


def _guard(observed: Observation) -> GuardView | None:
    if observed.unlisted is None or observed.unhooked is None:
        return None
    former = observed.moves is not None and observed.moves.former
    return GuardView(unlisted=observed.unlisted, unhooked=observed.unhooked, former=former)


def _memory(
    share: Share,
    gpus: Sequence[Gpu],
    observed: Observation,
    pids: Sequence[int],
    uncounted: Mapping[GpuId, Bytes | None],
) -> MemoryView:
    if share.decision is None:
        spec = share.spec.memory
        limit = None if spec.limit is None else Bytes(spec.limit * share.spec.gpus)
        return MemoryView(request=spec.request or limit, limit=limit, used=None, peak=None)
    grants = share.decision.grants
    beyond = _beyond(observed, uncounted)
    counted = _sum(observed.used) if observed.used else _by_driver(gpus, pids)
    return MemoryView(
        request=Bytes(sum(grant.request for grant in grants)),
        limit=Bytes(sum(grant.limit for grant in grants)),
        used=counted if counted is None else Bytes(counted + (beyond or 0)),
        peak=_sum(observed.peak) if observed.peak else share.peak,
        cached=observed.cached,
        uncounted=beyond,
    )


def _beyond(observed: Observation, uncounted: Mapping[GpuId, Bytes | None]) -> Bytes | None:
    """None where the driver does not say, and for a share that no guard counts."""
    parts = [uncounted.get(gpu) for gpu in {*observed.used, *uncounted}]
    known = [part for part in parts if part is not None]
    return Bytes(sum(known)) if observed.used and len(known) == len(parts) else None


def _by_driver(gpus: Sequence[Gpu], pids: Sequence[int]) -> Bytes | None:
    """Memory of the processes as NVML lists them; None if it is unknown."""
    ours: list[GpuProcess] = [p for gpu in gpus for p in gpu.processes if p.pid in pids]
    if any(process.memory is None for process in ours):
        return None
    return Bytes(sum(process.memory or 0 for process in ours))


def _compute(share: Share, delivered: Percent | None) -> ComputeView:
    grants = share.decision.grants if share.decision else ()
    request = grants[0].compute_request if grants else share.spec.compute.request
    return ComputeView(request=request, limit=share.spec.compute.limit, delivered=delivered)


def _queue(waiting: Waiting | None) -> QueueView | None:
    if waiting is None:
        return None
    return QueueView(position=waiting.position, waits_for=waiting.waits_for, eta=waiting.eta)


def _sum(by_gpu: dict[GpuId, Bytes]) -> Bytes:
    return Bytes(sum(by_gpu.values()))
