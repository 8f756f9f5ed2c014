# SPDX-License-Identifier: Apache-2.0
"""The half of `compose` below access: the parts that observe, act, decide and run passes."""

import asyncio
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import chain

from gpushare.config.settings import AutoCordon, Settings
from gpushare.daemon.access.access import Access
from gpushare.daemon.acts.executor import Executor, Step
from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.acts.peers import Peers
from gpushare.daemon.acts.program_ends import ProgramEnds
from gpushare.daemon.acts.signalling import Signalling
from gpushare.daemon.acts.suspend import SuspendService
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.acts.verifier import Verifier
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.live_settings import LiveSettings, Reread, no_files
from gpushare.daemon.loop.auto_cordons import AutoCordons
from gpushare.daemon.loop.changes import ShareChanges
from gpushare.daemon.loop.core import Core
from gpushare.daemon.loop.escape_acts import EscapeActs
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.loop.faults import Faults
from gpushare.daemon.loop.monitor import Monitor
from gpushare.daemon.loop.proofs import Proofs
from gpushare.daemon.loop.reconcile import Reconciler
from gpushare.daemon.loop.rest import Rest
from gpushare.daemon.loop.upkeep import Upkeep
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.observe.unknown_shares import UnknownShares
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.placement.queue import Queue
from gpushare.daemon.placement.reclaimer import Reclaimer
from gpushare.daemon.placement.snapshots import Snapshots
from gpushare.daemon.policies.anomalies import Anomalies
from gpushare.daemon.policies.autosize import Autosize
from gpushare.daemon.policies.expiry import Expiry
from gpushare.daemon.policies.idle import Idle, PolicyActs
from gpushare.daemon.policies.profiler import Profiler
from gpushare.daemon.policies.usage import Accountant
from gpushare.model.share import Cause
from gpushare.model.state.program_end import RecordBounds
from gpushare.store import Store

# The default of the setting `turn_seconds`; tests give their own.
TURN_SECONDS = 30.0


class LoopParts:
    """`step` is called at each point where a crash may happen. `turn_seconds`: see MemoryTurns.

    `reread` reads the configuration again. Without `settings` roles come from uids alone, there is
    no login, and no audit log is kept.
    """

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        access: Access,
        settings: Settings | None = None,
        *,
        step: Step = lambda _: None,
        reread: Reread = no_files,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self.store, self.ports, self.access = store, ports, access
        self.wake = asyncio.Event()
        self.live = LiveSettings(settings) if settings else None
        self._reread = reread
        self._settings, self._step, self._turn_seconds = settings, step, turn_seconds

    # Observation

    @cached_property
    def bus(self) -> Bus:
        return Bus(self.store, self.ports.clock)

    @cached_property
    def machine(self) -> ObservedMachine:
        return ObservedMachine(self.store, self.ports)

    @cached_property
    def observer(self) -> Observer:
        return Observer(self.ports, lambda: self.machine.latest)

    @cached_property
    def processes(self) -> ShareProcesses:
        return ShareProcesses(self.ports, self.observer, self.wake)

    @cached_property
    def unknown(self) -> UnknownShares:
        return UnknownShares(self.store, self.ports)

    # Acts

    @cached_property
    def acts(self) -> ActsInProgress:
        return ActsInProgress(self.wake)

    @cached_property
    def verifier(self) -> Verifier:
        return Verifier(self.store, self.ports, self.bus, self.observer)

    @cached_property
    def peers(self) -> Peers:
        return Peers(self.store, self.ports.mechanisms)

    @cached_property
    def transitions(self) -> Transitions:
        return Transitions(
            self.store,
            self.ports,
            self.bus,
            acts=self.acts,
            peers=self.peers,
            processes=self.processes,
            step=self._step,
        )

    @cached_property
    def ends(self) -> ProgramEnds:
        return ProgramEnds(
            self.store,
            self.bus,
            self.ports.clock,
            observer=self.observer,
            processes=self.processes,
            bounds=self._settings.records if self._settings else RecordBounds(),
        )

    @cached_property
    def executor(self) -> Executor:
        return Executor(
            self.store,
            self.ports.mechanisms,
            self.bus,
            clock=self.ports.clock,
            verify=self.verifier.verify,
            transitions=self.transitions,
            acts=self.acts,
            peers=self.peers,
            ends=self.ends,
            step=self._step,
        )

    @cached_property
    def memory_turns(self) -> MemoryTurns:
        return MemoryTurns(
            self.store,
            self.ports,
            self.bus,
            observer=self.observer,
            acts=self.acts,
            seconds=lambda: self.live.now.turn_seconds if self.live else self._turn_seconds,
        )

    @cached_property
    def suspending(self) -> SuspendService:
        return SuspendService(
            self.store,
            self.ports,
            self.bus,
            transitions=self.transitions,
            acts=self.acts,
            observer=self.observer,
        )

    @cached_property
    def termination(self) -> Termination:
        return Termination(
            self.store,
            self.ports,
            self.bus,
            acts=self.acts,
            processes=self.processes,
            signalling=self.signalling,
        )

    @cached_property
    def signalling(self) -> Signalling:
        return Signalling(self.store, self.ports, self.processes)

    # Policies

    @cached_property
    def expiry(self) -> Expiry:
        return Expiry(self.ports.clock)

    @cached_property
    def anomalies(self) -> Anomalies:
        return Anomalies()

    @cached_property
    def policy_acts(self) -> PolicyActs:
        """How a policy changes shares."""
        suspend = partial(self.changes.suspend, cause=Cause.IDLE)
        return PolicyActs(
            suspend, partial(self.changes.update, by_policy=True), begin=self.acts.follow
        )

    @cached_property
    def idle(self) -> Idle:
        return Idle(self.bus, self.ports.clock, self.policy_acts)

    @cached_property
    def autosize(self) -> Autosize:
        return Autosize(self.bus, self.ports.clock, self.policy_acts.update)

    @cached_property
    def profiler(self) -> Profiler:
        return Profiler(self.store, self.observer, self.ports.clock)

    @cached_property
    def accountant(self) -> Accountant:
        return Accountant(self.store, self.ports.clock, self.observer, self.idle.since)

    # Placement

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.store, self.executor.busy)

    @cached_property
    def reclaimer(self) -> Reclaimer:
        return Reclaimer(
            self.store,
            self.ports,
            self.bus,
            executor=self.executor,
            transitions=self.transitions,
            suspending=self.suspending,
            termination=self.termination,
            acts=self.acts,
        )

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(
            self.store,
            self.ports,
            machine=self.machine,
            observer=self.observer,
            processes=self.processes,
            acts=self.acts,
            unknown=self.unknown,
            refusals=self.reclaimer.refusals,
        )

    @cached_property
    def placement(self) -> PlacementService:
        return PlacementService(
            self.store,
            self.ports.clock,
            machine=self.machine,
            snapshots=self.snapshots,
            queue=self.queue,
            executor=self.executor,
            acts=self.acts,
            reclaimer=self.reclaimer,
            termination=self.termination,
        )

    # The loop

    @cached_property
    def changes(self) -> ShareChanges:
        return ShareChanges(
            self.store,
            self.ports.clock,
            executor=self.executor,
            suspending=self.suspending,
            machine=self.machine,
            placement=self.placement,
            memory_turns=self.memory_turns,
            expiry=self.expiry,
        )

    @cached_property
    def faults(self) -> Faults:
        return Faults(
            self.store,
            self.ports,
            self.bus,
            machine=self.machine,
            observer=self.observer,
            executor=self.executor,
        )

    @cached_property
    def escapes(self) -> EscapeWatch:
        return EscapeWatch(
            self.store,
            self.ports,
            self.bus,
            machine=self.machine,
            observer=self.observer,
            processes=self.processes,
            executor=self.executor,
            acts=EscapeActs(self.bus, self.processes, self.termination, self.signalling),
            wake=self.wake,
        )

    @cached_property
    def proofs(self) -> Proofs:
        def interval() -> float:
            return self.live.now.proof_interval if self.live else 0.0

        return Proofs(self.store, self.ports, self.bus, self.executor, interval)

    @cached_property
    def auto_cordons(self) -> AutoCordons:
        return AutoCordons(
            self.store,
            self.ports,
            self.bus,
            machine=self.machine,
            mode=lambda: self.live.now.auto_cordon if self.live else AutoCordon.LIFT,
        )

    @cached_property
    def monitor(self) -> Monitor:
        return Monitor(
            self.store,
            self.ports,
            self.bus,
            machine=self.machine,
            observer=self.observer,
            processes=self.processes,
            snapshots=self.snapshots,
            anomalies=self.anomalies,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.store,
            self.ports,
            self.bus,
            executor=self.executor,
            acts=self.acts,
            peers=self.peers,
            observer=self.observer,
            machine=self.machine,
            processes=self.processes,
            termination=self.termination,
            expiry=self.expiry,
            faults=self.faults,
            auto_cordons=self.auto_cordons,
            escapes=self.escapes,
            monitor=self.monitor,
            placement=self.placement,
            ends=self.ends,
        )

    @cached_property
    def upkeep(self) -> Upkeep:
        return Upkeep(
            self.store,
            self.ports,
            machine=self.machine,
            observer=self.observer,
            processes=self.processes,
            snapshots=self.snapshots,
            idle=self.idle,
            autosize=self.autosize,
            profiler=self.profiler,
        )

    @cached_property
    def core(self) -> Core:
        return Core(
            self.ports.clock,
            self.machine,
            reconciler=self.reconciler,
            upkeep=self.upkeep,
            proofs=self.proofs,
            accountant=self.accountant,
            memory_turns=self.memory_turns,
        )

    @cached_property
    def rest(self) -> Rest:
        def due() -> Iterator[float]:
            return chain(self.expiry.times(), self.termination.kill_times(), self.executor.due())

        return Rest(self.ports.clock, self.wake, due, self.placement.begins)
