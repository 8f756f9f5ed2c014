# SPDX-License-Identifier: Apache-2.0
"""The daemon's parts, joined: one turn at a time, one pass after the other."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from msgspec.structs import asdict, replace

from gpushare.daemon.acts.executor import Executor, Step
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.acts.verifier import Verifier
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.policies.idle import PolicyActs
from gpushare.daemon.policies.requested_spec import asked
from gpushare.daemon.policies.usage import Accountant
from gpushare.model.errors import ConflictError, GpushareError, NoCapacityError
from gpushare.model.share import Cause, Share, Tier
from gpushare.model.units import Seconds
from gpushare.model.view import SuspendRequest, UpdateRequest
from gpushare.store import Store

from .migration import Migration
from .reconcile import GRACE_SECONDS, Reconciler
from .upkeep import Upkeep

TURN_SECONDS = 30.0
_log = structlog.get_logger()


class Core:
    """`step` is told each point at which a crash may happen. `turn_seconds`: see Turns."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        step: Step = lambda _: None,
        *,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self.store, self.ports = store, ports
        self.turn = asyncio.Lock()
        self.bus = Bus(store, ports.clock)
        self.observer = Observer(ports)
        self.verifier = Verifier(store, ports, self.bus, self.observer)
        self.transitions = Transitions(store, ports, self.bus, step)
        self.executor = Executor(
            store,
            ports.mechanisms,
            self.bus,
            clock=ports.clock,
            verify=self.verifier.verify,
            transitions=self.transitions,
            step=step,
        )
        self.reconciler = Reconciler(
            store,
            ports,
            self.bus,
            self.executor,
            transitions=self.transitions,
            observer=self.observer,
            turn_seconds=turn_seconds,
        )
        self.migration = Migration(self.transitions, self.executor, self.reconciler)
        self.members = self.reconciler.members
        self.placement = self.reconciler.placement
        self.turns = self.placement.turns
        self.upkeep = Upkeep(store, ports, self.bus, self.reconciler, self._by_itself())
        self.accountant = Accountant(store, ports.clock, self.observer, self.upkeep.idle.since)
        self.patience = Seconds(GRACE_SECONDS * 3)
        self.pass_seconds = 0.0
        self.failed_passes = 0
        self._told: set[str] = set()

    async def reconcile(self) -> None:
        """One pass; the next one tries again what failed."""
        begun = self.ports.clock.elapsed()
        try:
            async with self.turn:
                wrong = await self.reconciler.run()
                wrong += await self.upkeep.run(self.placement.machine)
                wrong += await self.accountant.run(self.placement.machine)
        except GpushareError as error:
            wrong = [error]
        except Exception as error:  # noqa: BLE001 (a mistake of ours must not end the service)
            _log.error("pass.broken", exc_info=error)
            wrong = [GpushareError("a pass failed", f"{type(error).__name__}: {error}")]
        self._complain(wrong)
        self.pass_seconds = self.ports.clock.elapsed() - begun

    async def suspend(
        self, share: Share, request: SuspendRequest, cause: Cause = Cause.USER
    ) -> None:
        """Off the GPU until somebody resumes it; raises NotSuspendableError, and as moves do."""
        share = await self.ready(share)
        if share.aside:
            return
        tier = Tier.CHECKPOINT if request.deep else Tier.MEMORY
        await self.reconciler.suspending.suspend(share, tier, request.timeout, cause)
        await self.placement.advance()

    async def ready(self, share: Share) -> Share:
        """As it is once what was cut short is undone; ConflictError while that cannot be."""
        await self.executor.recover()
        if share.id in self.executor.busy():
            raise ConflictError(
                f"share {share.name} is in the middle of something",
                "what was begun with it can neither be finished nor undone now",
                "try again, or see the daemon's log",
            )
        return self.store.shares.get(share.id)

    async def resume(self, share: Share, seconds: float) -> None:
        """Raises NoCapacityError while others have its room."""
        share = await self.ready(share)
        if share.suspension is None or not share.aside:
            return
        await self.placement.refresh()
        if reason := self.placement.hindrance(share):
            raise NoCapacityError(
                f"share {share.name} cannot come back now",
                f"it waits for {reason}",
                "see who has it: gpushare ps",
            )
        await self.reconciler.suspending.resume(share, seconds)
        if share.spec.turns:
            await self.turns.settle(self.placement.machine)

    async def update(
        self, share: Share, request: UpdateRequest, *, by_itself: bool = False
    ) -> None:
        """`by_itself`: by a policy. Raises UnsupportedError, NeverFitsError, NoCapacityError."""
        share = await self.ready(share)
        wishes = {name: value for name, value in asdict(request).items() if value is not None}
        spec = replace(share.spec, **wishes)
        kept = asked(share, spec, wishes, by_itself=by_itself)
        changes: dict[str, object] = {"spec": spec, "asked": kept}
        if request.ttl is not None:
            changes["expires"] = self.ports.clock.now() + timedelta(seconds=request.ttl)
            self.reconciler.new_deadline(share)
        if wishes.keys() <= {"ttl"}:
            self.store.shares.update(share.id, **changes)
            return
        await self.placement.refresh()
        decision = self.placement.regrant(share, spec)
        await self.executor.adjust(share, decision, **changes)
        await self.placement.advance()

    def _by_itself(self) -> PolicyActs:
        """How a policy changes shares."""
        return PolicyActs(
            suspend=lambda share, request: self.suspend(share, request, Cause.IDLE),
            update=lambda share, request: self.update(share, request, by_itself=True),
        )

    async def take_turns(self) -> None:
        """Between passes, for shares that take turns."""
        if self.turns.crowded():
            async with self.turn:
                await self.turns.settle(self.placement.machine)

    def _complain(self, wrong: Sequence[GpushareError]) -> None:
        """Once for each thing that goes wrong, not once a pass."""
        self.failed_passes += bool(wrong)
        told, self._told = self._told, {str(error) for error in wrong}
        for error in wrong:
            if str(error) not in told:
                _log.error("pass.failed", error=str(error), code=error.code)
