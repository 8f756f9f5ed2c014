# SPDX-License-Identifier: Apache-2.0
"""What the scheduler sees: one value made of the records, the machine and the observations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from gpushare.daemon.acts.suspend_methods import why_unmigratable, why_unmovable
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.policies.usage import rolled_up
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import ShareId, Tenant
from gpushare.model.policy.tenant import Policy, Rung
from gpushare.model.share import Share, State, Tier
from gpushare.model.units import Bytes
from gpushare.scheduler import Request, Snapshot
from gpushare.store import Act, Store

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
        refusals: Callable[[], Mapping[Rung, Mapping[ShareId, str]]] = dict,
    ) -> None:
        self._store, self._ports = store, ports
        self._machine, self._observer, self._processes = machine, observer, processes
        self._refusals = refusals

    def take(self, queue: Sequence[Request] = ()) -> Snapshot:
        """The state now. `queue` is served before the request at hand."""
        machine = self._machine.latest
        living = self._store.shares.living()
        holding = self._present(share for share in living if share.state.holds)
        policy, now = self._store.policy.current(), self._ports.clock.now()
        refusals = self._refusals()
        return Snapshot(
            machine=machine,
            shares=holding,
            queue=tuple(queue),
            booked=tuple(s for s in living if s.state is State.QUEUED and s.booking is not None),
            promises=self._ports.mechanisms.promises(),
            foreign={gpu.uuid: self._foreign(machine, gpu, holding) for gpu in machine.gpus},
            now=now,
            policy=policy,
            usage=rolled_up(policy, self._store.usage.decayed(now, policy.half_life)),
            hours=self._hours(policy, now),
            unmovable=self._why(self._why_unmovable, holding)
            | dict(refusals.get(Rung.SUSPEND, {})),
            unmigratable=self._unmigratable(holding) | dict(refusals.get(Rung.MIGRATE, {})),
            profiles=self._store.profiles.all(),
        )

    def _hours(self, policy: Policy, now: datetime) -> dict[Tenant, float]:
        used = rolled_up(policy, self._store.usage.within(now, policy.period))
        return {tenant: seconds / _HOUR for tenant, seconds in used.items()}

    def _present(self, holding: Iterable[Share]) -> tuple[Share, ...]:
        """A share that is being resumed has its room, although its memory is not back yet."""
        pending = self._store.intents.pending()
        resuming = {intent.share for intent in pending if intent.act is Act.RESUME}
        return tuple(
            replace(share, suspension=None) if share.id in resuming else share for share in holding
        )

    def _unmigratable(self, holding: Sequence[Share]) -> dict[ShareId, str]:
        if because := self._ports.checkpoints.remaps():
            return {share.id: because for share in holding}
        return self._why(self._why_unmigratable, holding)

    def _why_unmovable(self, share: Share, observed: Observation) -> str:
        return why_unmovable(self._observer.stack(share), observed)

    def _why_unmigratable(self, share: Share, observed: Observation) -> str:
        return why_unmigratable(share, self._observer.stack(share), observed)

    def _why(
        self, why: Callable[[Share, Observation], str], holding: Sequence[Share]
    ) -> dict[ShareId, str]:
        reasons = ((share.id, why(share, self._observer.last(share.id))) for share in holding)
        return {share: because for share, because in reasons if because}

    def _foreign(self, machine: Machine, gpu: Gpu, holding: Sequence[Share]) -> Bytes:
        """Memory of programs outside every share, as far as the driver names them.

        Includes what suspended shares leave on the GPU.
        """
        ours = {process.pid for share in holding for process in self._processes.shown(share)}
        # A process for which the driver gives no figure counts as nothing.
        others = (p for p in self._ports.programs(gpu) if p.pid not in ours)
        remaining = sum(self._remaining(machine, gpu, share) for share in holding if share.aside)
        return Bytes(sum(process.memory or 0 for process in others) + remaining)

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
