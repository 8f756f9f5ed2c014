# SPDX-License-Identifier: Apache-2.0
"""Implements `model.service.Service`: checks the caller, makes changes, answers with views."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.access.tokens import AccessTokens
from gpushare.daemon.access.visibility import VisibilityFilter
from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import outcome
from gpushare.daemon.acts.program_ends import ProgramEnds
from gpushare.daemon.acts.termination import GRACE_SECONDS, Termination
from gpushare.daemon.acts.verifier import Verifier
from gpushare.daemon.audit.audit_service import DaemonAudit
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.fresh import Fresh
from gpushare.daemon.loop.changes import ShareChanges
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.loop.migration import Migration
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.placement.replay import replay
from gpushare.model.errors import ConflictError, DeniedError, WaitTimeoutError
from gpushare.model.event import Event
from gpushare.model.share import Caller, Damage, Share, State, Verification
from gpushare.model.spec import ShareSpec
from gpushare.model.state.program_end import ProgramEndReport
from gpushare.model.units import Seconds
from gpushare.model.view import (
    CreateRequest,
    DecisionView,
    EnterRequest,
    Entry,
    GpuView,
    MigrateRequest,
    Plan,
    ResumeRequest,
    ShareView,
    SuspendRequest,
    UpdateRequest,
    VersionView,
)
from gpushare.store import Store
from gpushare.verification.escapes import with_escapes

from .admission import Admission, Bounds
from .backups import DaemonBackups
from .entering import Entering
from .leftovers import DaemonLeftovers
from .machine_service import DaemonMachine
from .metrics import Figures, Metrics
from .operations import DaemonOperations
from .policy_service import DaemonPolicy
from .profile_service import DaemonProfiles
from .share_views import ShareViews
from .streams import LongCalls

# The grace period and SIGKILL, and time for the kernel to end what is killed.
_REMOVAL_SECONDS = Seconds(GRACE_SECONDS * 3)


@dataclass(kw_only=True)
class DaemonService:
    """No call waits for another: what takes time is an act in progress on one share."""

    store: Store
    bus: Bus
    streams: LongCalls
    access: Access
    visibility: VisibilityFilter
    processes: ShareProcesses
    executor: Executor
    verifier: Verifier
    termination: Termination
    placement: PlacementService
    changes: ShareChanges
    migration: Migration
    admission: Admission
    entering: Entering
    escapes: EscapeWatch
    ends: ProgramEnds
    views: ShareViews
    lists: Fresh[tuple[ShareView, ...]]
    machine: DaemonMachine
    figures: Metrics
    identity: AccessTokens
    tokens: AccessTokens
    rules: DaemonPolicy
    audit: DaemonAudit
    leftovers: DaemonLeftovers
    backups: DaemonBackups
    operations: DaemonOperations
    profiles: DaemonProfiles

    async def create(self, request: CreateRequest, caller: Caller) -> ShareView:
        """Raises the error that made the share fail, if it failed at once."""
        holder, waiter = (
            None if pid is None else self.entering.process(pid, caller)
            for pid in (request.holder, request.waiter)
        )
        share = await self.admission.admit(request, caller, Bounds(holder, waiter))
        return await self._view_or_failure(self.store.shares.get(share), caller)

    async def plan(self, spec: ShareSpec, caller: Caller) -> Plan:
        return await self.admission.plan(spec, caller)

    async def shares(self, caller: Caller, *, ended: bool = False) -> Sequence[ShareView]:
        """The same value as before while nothing of it has changed."""
        shares = self.store.shares.all() if ended else self.store.shares.living()
        await self.views.look(shares)
        return self.lists.get(
            (ended, *self.access.sight(caller)), lambda: tuple(self._views(shares, caller))
        )

    async def show(self, ref: str, caller: Caller) -> ShareView:
        """Those who may act on a waiting share also see its place in the queue, and why."""
        share = self.visibility.find(ref, caller)
        view = await self._own_view(share, caller)
        if share.state is not State.QUEUED or not self.access.own(share, caller):
            return view
        return replace(view, why=self.placement.standing(share.id))

    async def wait(
        self, ref: str, states: Sequence[State], timeout: Seconds | None, caller: Caller
    ) -> ShareView:
        share = self.visibility.own(ref, caller)
        share = await self.ends.reported(await self._until(share, states, timeout))
        if share.state in states:
            return await self._own_view(share, caller)
        return await self._view_or_failure(share, caller)

    async def enter(self, ref: str, request: EnterRequest, caller: Caller) -> Entry:
        share = await self._ready(ref, caller)
        process = self.entering.newcomer(share, request.pid, caller)
        share, edits = await self.entering.enter(share, process)
        return self.entering.entry(share, edits, request.preload)

    async def environment(self, ref: str, preload: str, caller: Caller) -> Entry:
        share = await self._ready(ref, caller)
        self.access.here(caller)
        share, edits = await self.entering.prepared(share)
        return self.entering.entry(share, edits, preload)

    async def _ready(self, ref: str, caller: Caller) -> Share:
        await self.executor.ready(self._holding(ref, caller))
        # Looked up again: an act that was in progress may have ended the share.
        return self._holding(ref, caller)

    async def suspend(self, ref: str, request: SuspendRequest, caller: Caller) -> ShareView:
        await self.changes.suspend(self._holding(ref, caller), request)
        return await self.show(ref, caller)

    async def resume(self, ref: str, request: ResumeRequest, caller: Caller) -> ShareView:
        await self.changes.resume(self._holding(ref, caller), request.timeout)
        return await self.show(ref, caller)

    async def migrate(self, ref: str, request: MigrateRequest, caller: Caller) -> ShareView:
        await self.migration.migrate(self._holding(ref, caller), request)
        return await self.show(ref, caller)

    async def update(self, ref: str, request: UpdateRequest, caller: Caller) -> ShareView:
        await self.changes.update(self._holding(ref, caller), request)
        return await self.show(ref, caller)

    async def decision(self, ref: str, caller: Caller) -> DecisionView:
        share = self.visibility.own(ref, caller)
        view = replay(share.name, *self.store.decisions.get(share.id))
        return self.visibility.decision(view, caller)

    async def remove(self, ref: str, caller: Caller, *, force: bool = False) -> ShareView:
        share = self.visibility.own(ref, caller)
        if share.state.ended:
            view = await self._own_view(share, caller)
            self.store.shares.forget(share.id)
            return view
        await self._end(share, ref, caller, force=force)
        return await self._own_view(await self._until(share, (), _REMOVAL_SECONDS), caller)

    async def program_ended(self, ref: str, report: ProgramEndReport, caller: Caller) -> ShareView:
        share = self.visibility.own(ref, caller)
        # Output that others wrote into the record of a share would read as its program's.
        if not _mine(share, caller):
            raise DeniedError(
                f"share {share.name} belongs to another user", "only its user reports its end"
            )
        return await self._own_view(self.ends.report(share, report), caller)

    async def verify(self, ref: str, caller: Caller) -> Verification:
        """Probe the share.

        Fills its GPUs if no program is disturbed by it. Raises ConflictError.
        """
        share = self._holding(ref, caller)
        if share.suspension is not None:
            raise ConflictError(
                f"share {share.name} is suspended",
                "a suspended share cannot use the GPU, so the probe cannot run",
                f"gpushare resume {ref}",
            )
        share, edits = await self.entering.prepared(await self.executor.ready(share))
        seen = {cause.same for cause in await self.escapes.now(share)}
        verification = await self.verifier.probe(share, edits, fill=await self._alone(share))
        # A probe takes seconds, so the share may have ended meanwhile.
        if not self.store.shares.get(share.id).state.ended:
            self.store.shares.update(share.id, verified=verification)
        # Seen on both sides of the probe: a process that ends may be listed a moment too long.
        lasting = [cause for cause in await self.escapes.now(share) if cause.same in seen]
        assert share.decision is not None
        stack = self.escapes.stack(share)
        return with_escapes(verification, share.decision, stack, lasting)

    async def gpus(self, caller: Caller) -> Sequence[GpuView]:
        return await self.machine.gpus(caller)

    async def version(self, caller: Caller) -> VersionView:
        return await self.machine.version(operator=self.access.all(caller))

    def events(self, since: int, caller: Caller) -> AsyncIterator[Event]:
        """Raises RateLimitedError while the caller has as many streams as a user may have."""
        return self.streams.stream(caller.uid, self._events(since, caller))

    async def _events(self, since: int, caller: Caller) -> AsyncIterator[Event]:
        async for page in self.bus.follow(since):
            for event in self.visibility.heard(page, caller):
                yield event

    async def metrics(self, caller: Caller) -> bytes:
        return await self.figures.text(caller, self._figures)

    async def _figures(self, caller: Caller) -> Figures:
        return Figures(
            shares=await self.shares(caller),
            gpus=await self.gpus(caller),
            quotas=await self.rules.quotas(caller),
            driver=await self.machine.driver(),
        )

    async def _alone(self, share: Share) -> bool:
        """Whether a probe that fills the GPUs disturbs no program, of this share or another."""
        assert share.decision is not None
        gpus = set(share.decision.gpus)
        others = (s.decision for s in self.store.shares.living() if s.state.holds and s != share)
        if any(decision and gpus.intersection(decision.gpus) for decision in others):
            return False
        return not await self.processes.now(share)

    def _holding(self, ref: str, caller: Caller) -> Share:
        share = self.visibility.own(ref, caller)
        if not share.state.holds:
            raise ConflictError(
                f"share {share.name} is {share.state}",
                share.reason or "only a granted share has a place on a GPU",
                f"gpushare show {ref}",
            )
        return share

    async def _end(self, share: Share, ref: str, caller: Caller, *, force: bool) -> None:
        processes = await self.processes.now(share)
        if processes and not force:
            pids = ", ".join(str(process.pid) for process in processes)
            raise ConflictError(
                f"share {share.name} is in use",
                f"processes {pids}",
                f"end them with it: gpushare rm --force {ref}",
            )
        act = self.executor.acts.of(share.id)
        if processes or (act is not None and act.waits):
            command = caller.pid if caller.remote is None else None
            await outcome(self.termination.stop(share, "removed", command))
            return
        try:
            share = await self.executor.ready(share)
        except ConflictError:
            if not (force or share.state is State.DAMAGED):
                raise
            await self._abandon(share)
            return
        if not share.state.ended:
            await outcome(self.executor.release(share, State.RELEASED, "removed"))

    async def _abandon(self, share: Share) -> None:
        """End a share whose interrupted act was tried a last time, and failed."""
        await self.executor.acts.idle(share)
        share = self.store.shares.get(share.id)
        if not share.state.ended:
            await outcome(self.executor.abandon(share, "removed"))

    async def _until(self, share: Share, states: Sequence[State], timeout: Seconds | None) -> Share:
        """Return when the share is in one of the states, or has ended."""
        share = self.store.shares.get(share.id)
        try:
            async with asyncio.timeout(timeout):
                while share.state not in states and not share.state.ended:
                    if share.damage and _waits_for_use(states):
                        raise _damaged(share, share.damage)
                    # Each change of a state publishes an event, so nothing is polled here.
                    await self.bus.changed()
                    share = self.store.shares.get(share.id)
        except TimeoutError:
            raise WaitTimeoutError(
                f"share {share.name} is still {share.state}", f"after {timeout} s", "gpushare ps"
            ) from None
        return share

    async def _view_or_failure(self, share: Share, caller: Caller) -> ShareView:
        """The share, or the error that made it fail."""
        failure = self.executor.failure(share.id)
        # A grant that failed and cannot be undone yet is an unconfirmed act.
        over = share.state is State.FAILED or share.id in self.executor.busy()
        if failure is not None and over:
            raise failure
        return await self._own_view(share, caller)

    async def _own_view(self, share: Share, caller: Caller) -> ShareView:
        """With the last output of its program, which no one but its user sees."""
        view = (await self._visible([share], caller))[0]
        # Output comes with the end of a program, and is a question to the state file.
        if share.end is None or not _mine(share, caller):
            return view
        return replace(view, output=self.store.outputs.get(share.id))

    async def _visible(self, shares: Sequence[Share], caller: Caller) -> list[ShareView]:
        await self.views.look(shares)
        return self._views(shares, caller)

    def _views(self, shares: Sequence[Share], caller: Caller) -> list[ShareView]:
        views = self.views.all(shares)
        pairs = zip(shares, views, strict=True)
        return [self.visibility.share(view, share, caller) for share, view in pairs]


def _mine(share: Share, caller: Caller) -> bool:
    return share.uid == caller.uid


def _waits_for_use(states: Sequence[State]) -> bool:
    """Not for the end, which a damaged share may reach."""
    return bool(states) and not any(state.ended for state in states)


def _damaged(share: Share, damage: Damage) -> ConflictError:
    return ConflictError(
        f"share {share.name} is damaged", damage.reason, f"end it: gpushare rm --force {share.name}"
    )
