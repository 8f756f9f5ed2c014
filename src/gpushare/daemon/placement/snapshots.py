# SPDX-License-Identifier: Apache-2.0
"""What the scheduler sees: one value made of the records, the machine and the observations."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.suspend_methods import (
    why_no_host_memory,
    why_unmigratable,
    why_unmovable,
)
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.observe.unknown_shares import UnknownShares
from gpushare.daemon.policies.usage import rolled_up
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy, Rung
from gpushare.model.share import Cause, Decision, Share, State, Suspension, Tier
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes
from gpushare.model.view import MOVE_SECONDS
from gpushare.scheduler import Request, Snapshot
from gpushare.store import Act, Intent, Store

_HOUR = 3600


class Snapshots:
    """`refusals`: shares that refused a step of reclaiming a moment ago, and why."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        *,
        machine: ObservedMachine,
        observer: Observer,
        processes: ShareProcesses,
        acts: ActsInProgress,
        unknown: UnknownShares,
        refusals: Callable[[], Mapping[Rung, Mapping[ShareId, str]]] = dict,
    ) -> None:
        self._store, self._ports = store, ports
        self._machine, self._observer, self._processes = machine, observer, processes
        self._acts, self._refusals = acts, refusals
        self._unknown = unknown
        self._newest: tuple[object, Snapshot] | None = None

    def take(self, queue: Sequence[Request] = ()) -> Snapshot:
        """The state now. `queue` is served before the request at hand."""
        self._unknown.refresh()
        refusals = self._refusals()
        version = self._version(), refusals
        # Every request and pass takes some, and mostly nothing has changed but the time.
        if self._newest is None or self._newest[0] != version:
            self._newest = version, self._made(refusals)
        policy, now = self._store.policy.current(), self._ports.clock.now()
        return replace(
            self._newest[1],
            queue=tuple(queue),
            now=now,
            usage=rolled_up(policy, self._store.usage.decayed(now, policy.half_life)),
            hours=self._hours(policy, now),
            profiles=self._store.profiles.all(),
            unready=self._ports.mechanisms.unready(
                gpu.uuid for gpu in self._newest[1].machine.gpus
            ),
        )

    def _version(self) -> object:
        return (
            self._store.generation,
            self._machine.generation,
            self._observer.generation,
            self._processes.generation,
            frozenset(self._acts.shares()),
            self._unknown.shares,
        )

    def _made(self, refusals: Mapping[Rung, Mapping[ShareId, str]]) -> Snapshot:
        """Without what changes with the time."""
        machine = self._machine.latest
        living = self._store.shares.living()
        holding = self._holding(living)
        ours = self._processes.pids(holding)
        return Snapshot(
            machine=machine,
            shares=holding,
            booked=tuple(s for s in living if s.state is State.QUEUED and s.booking is not None),
            promises=self._ports.mechanisms.promises(),
            foreign={gpu.uuid: self._foreign(machine, gpu, holding, ours) for gpu in machine.gpus},
            policy=self._store.policy.current(),
            unmovable=self._why(self._why_unmovable, holding)
            | self._in_progress()
            | dict(refusals.get(Rung.SUSPEND, {})),
            unmigratable=self._unmigratable(holding)
            | self._in_progress()
            | dict(refusals.get(Rung.MIGRATE, {})),
            host=self._host(machine, holding),
        )

    def _host(self, machine: Machine, holding: Sequence[Share]) -> dict[GpuId, Bytes]:
        """Host memory that is left for what takes turns on each GPU."""
        away = sum(self._bytes_away(share) for share in holding if share.aside)
        turns = {gpu.uuid: _beyond_largest(gpu.uuid, holding) for gpu in machine.gpus}
        free = self._ports.host_memory - away - sum(turns.values())
        return {gpu: Bytes(max(0, free + own)) for gpu, own in turns.items()}

    def _bytes_away(self, share: Share) -> int:
        moves = self._observer.last(share.id).moves
        return sum(slot.away for slot in moves.slots) if moves else 0

    def _in_progress(self) -> dict[ShareId, str]:
        return dict.fromkeys(self._acts.shares(), "another operation on it is in progress")

    def _hours(self, policy: Policy, now: datetime) -> dict[Tenant, float]:
        used = rolled_up(policy, self._store.usage.within(now, policy.period))
        return {tenant: seconds / _HOUR for tenant, seconds in used.items()}

    def expected(self, state: Snapshot, leaving: Collection[ShareId]) -> Snapshot:
        """The state after the acts in progress, if they end well; `leaving`: being ended.

        An act that has taken too long is not counted on.
        """
        acts = {
            intent.share: intent
            for intent in self._store.intents.pending()
            if self._acts.begun_within(intent.share, MOVE_SECONDS)
        }
        shares = (share for share in state.shares if share.id not in leaving)
        after = (_after(share, acts.get(share.id), state.now) for share in shares)
        return replace(state, shares=tuple(share for share in after if share is not None))

    def _holding(self, living: Iterable[Share]) -> tuple[Share, ...]:
        """Shares with a place, and as acts in progress will have it: room is kept for both."""
        acts = {intent.share: intent for intent in self._store.intents.pending()}
        return tuple(holding for share in living for holding in _during(share, acts.get(share.id)))

    def _unmigratable(self, holding: Sequence[Share]) -> dict[ShareId, str]:
        if because := self._ports.checkpoints.remaps():
            return {share.id: because for share in holding}
        return self._why(self._why_unmigratable, holding)

    def _why_unmovable(self, share: Share, observed: Observation) -> str:
        because = why_unmovable(self._observer.stack(share), observed)
        return because or why_no_host_memory(observed)

    def _why_unmigratable(self, share: Share, observed: Observation) -> str:
        return why_unmigratable(share, self._observer.stack(share), observed)

    def _why(
        self, why: Callable[[Share, Observation], str], holding: Sequence[Share]
    ) -> dict[ShareId, str]:
        reasons = ((share.id, why(share, self._observer.last(share.id))) for share in holding)
        return {share: because for share, because in reasons if because}

    def _foreign(
        self, machine: Machine, gpu: Gpu, holding: Sequence[Share], ours: Collection[int]
    ) -> Bytes:
        """Memory of programs outside every share, as far as the driver names them.

        Includes what suspended shares leave on the GPU. `ours`: the programs of `holding`.
        """
        # A process for which the driver gives no figure counts as nothing.
        programs = self._ports.outside(gpu, ours)
        others = (process for process in programs if process.pid not in self._unknown.pids)
        unknown = self._unknown.in_use(gpu, programs)
        remaining = sum(self._remaining(machine, gpu, share) for share in holding if share.aside)
        return Bytes(sum(process.memory or 0 for process in others) + unknown + remaining)

    def _remaining(self, machine: Machine, gpu: Gpu, share: Share) -> int:
        """The contexts of its programs, and memory that may stay while it waits for its turn."""
        moves = self._observer.last(share.id).moves
        checkpointed = share.suspension is not None and share.suspension.tier is Tier.CHECKPOINT
        if (
            moves is None
            or checkpointed
            or share.decision is None
            or gpu.uuid not in share.decision.gpus
        ):
            return 0
        stays = sum(max(0, slot.movable - slot.away) for slot in moves.slots)
        return len(moves.slots) * machine.context.get(gpu.uuid, Bytes(0)) + stays


def _during(share: Share, intent: Intent | None) -> Iterator[Share]:
    """What counts as present of the share while the act of the intent is not confirmed."""
    match intent.act if intent else None:
        case Act.GRANT if intent and not share.state.holds:
            yield replace(share, state=State.GRANTED, decision=intent.decision, booking=None)
        case Act.RESUME:
            # It has its room, although its memory is not back yet.
            yield replace(share, suspension=None)
        case Act.ADJUST if intent and share.decision:
            yield replace(share, decision=_larger(share.decision, intent.decision))
        case Act.MIGRATE if intent and share.decision:
            yield share
            yield replace(share, decision=intent.decision)
        case _ if share.state.holds:
            yield share


def _after(share: Share, intent: Intent | None, now: datetime | None) -> Share | None:
    """The share as the act leaves it; None: its place is counted by another entry."""
    match intent.act if intent else None:
        case Act.SUSPEND if intent and now and share.suspension is None:
            away = Suspension(cause=Cause.RECLAIM, since=now, tier=intent.tier)
            return replace(share, state=State.SUSPENDED, suspension=away)
        case Act.RELEASE:
            return None
        case Act.MIGRATE if intent and share.decision != intent.decision:
            return None
        case Act.ADJUST if intent:
            return replace(share, decision=intent.decision)
        case _:
            return share


def _larger(one: Decision, other: Decision) -> Decision:
    """Room for either: an act that changes limits may be undone."""
    by_gpu = {grant.gpu: grant for grant in other.grants}
    return replace(one, grants=tuple(_most(it, by_gpu.get(it.gpu, it)) for it in one.grants))


def _most(one: GpuGrant, other: GpuGrant) -> GpuGrant:
    return replace(
        one,
        limit=max(one.limit, other.limit),
        request=max(one.request, other.request),
        compute=max(one.compute, other.compute),
        compute_request=max(one.compute_request, other.compute_request),
    )


def _beyond_largest(gpu: GpuId, shares: Iterable[Share]) -> int:
    """Bytes of those that take turns there and are not on the GPU while the largest one is."""
    decisions = [s.decision for s in shares if s.spec.turns and s.decision and not s.aside]
    limits = [g.limit for decision in decisions for g in decision.grants if g.gpu == gpu]
    return sum(limits) - max(limits, default=0)
