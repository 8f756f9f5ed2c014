# SPDX-License-Identifier: Apache-2.0
"""Implements `model.service.Service`: checks the caller, takes its turn, answers with views."""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.access.tokens import AccessTokens, keys_of
from gpushare.daemon.access.visibility import VisibilityFilter
from gpushare.daemon.audit.audit_service import DaemonAudit
from gpushare.daemon.audit.writer import AuditWriter
from gpushare.daemon.loop.core import Core
from gpushare.daemon.observe.share_processes import MARK
from gpushare.daemon.placement.replay import replay
from gpushare.daemon.present import views
from gpushare.delivery.host import environment_change
from gpushare.model.access.role import Role
from gpushare.model.errors import (
    CgroupError,
    ConflictError,
    HardwareError,
    NotYoursError,
    UsageError,
    WaitTimeoutError,
)
from gpushare.model.event import Event
from gpushare.model.ids import ShareId
from gpushare.model.share import Caller, ProcessRef, Share, State, Verification
from gpushare.model.spec import ShareSpec
from gpushare.model.units import Seconds
from gpushare.model.version import __version__
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
from gpushare.scheduler import Waiting

from . import metrics
from .admission import Admission
from .leftovers import DaemonLeftovers
from .policy_service import DaemonPolicy
from .profile_service import DaemonProfiles

_FRESH_SECONDS = 0.5  # how old may be what is shown


class DaemonService:
    """One act at a time: `core.turn` is held by whoever changes anything."""

    def __init__(
        self,
        core: Core,
        access: Access,
        keys: AccessTokens | None = None,
        writer: AuditWriter | None = None,
    ) -> None:
        self._core, self._access = core, access
        self._visibility = VisibilityFilter(core, access)
        self.tokens = self.identity = keys or keys_of(core, access)
        self.rules = DaemonPolicy(core, access)
        self.audit = DaemonAudit(writer.log if writer else None, core.store.shares.of)
        self.leftovers = DaemonLeftovers(core, access)
        self.profiles = DaemonProfiles(core.store, access)
        self._store, self._ports = core.store, core.ports
        self._bus = core.bus

    async def create(self, request: CreateRequest, caller: Caller) -> ShareView:
        holder = self._process(request.holder, caller) if request.holder is not None else None
        async with self._core.turn:
            share = await self._admission().take(request, caller, holder)
        return await self._answer(share)

    async def plan(self, spec: ShareSpec, caller: Caller) -> Plan:
        return await self._admission().plan(spec, caller)

    async def shares(self, caller: Caller, *, ended: bool = False) -> Sequence[ShareView]:
        found = self._store.shares.all() if ended else self._store.shares.living()
        return await self._views(found, caller)

    async def show(self, ref: str, caller: Caller) -> ShareView:
        share = self._visibility.find(ref, caller)
        view = (await self._views([share], caller))[0]
        if share.state is not State.QUEUED or not self._access.own(share, caller):
            return view
        return replace(view, why=self._core.placement.standing(share.id))

    async def wait(
        self, ref: str, states: Sequence[State], timeout: Seconds | None, caller: Caller
    ) -> ShareView:
        share = self._visibility.own(ref, caller)
        share = await self._until(share, states, timeout)
        return await (self._view(share) if share.state in states else self._answer(share.id))

    async def enter(self, ref: str, request: EnterRequest, caller: Caller) -> Entry:
        async with self._core.turn:
            await self._core.ready(self._holding(ref, caller))
            share = self._holding(ref, caller)
            process = self._process(request.pid, caller)
            edits = await self._core.executor.edits(share)
            if edits.cgroup:
                await self._join(share, process)
            members = tuple(dict.fromkeys((*share.members, process)))
            share = self._core.reconciler.mark_running(share, members=members)
            self._core.members.watch(share, process)
        found = environment_change(edits, request.preload)
        cpus, numa = views.nearby(share, self._core.placement.machine)
        env = {**found.env, MARK: share.id}
        return Entry(share=share.id, env=env, unset=found.unset, cpus=cpus, numa=numa)

    async def suspend(self, ref: str, request: SuspendRequest, caller: Caller) -> ShareView:
        async with self._core.turn:
            share = self._holding(ref, caller)
            await self._core.suspend(share, request)
        return await self.show(ref, caller)

    async def resume(self, ref: str, request: ResumeRequest, caller: Caller) -> ShareView:
        async with self._core.turn:
            share = self._holding(ref, caller)
            await self._core.resume(share, request.timeout)
        return await self.show(ref, caller)

    async def migrate(self, ref: str, request: MigrateRequest, caller: Caller) -> ShareView:
        async with self._core.turn:
            await self._core.ready(self._holding(ref, caller))
            await self._core.migration.migrate(self._holding(ref, caller), request)
        return await self.show(ref, caller)

    async def update(self, ref: str, request: UpdateRequest, caller: Caller) -> ShareView:
        async with self._core.turn:
            share = self._holding(ref, caller)
            await self._core.update(share, request)
        return await self.show(ref, caller)

    async def decision(self, ref: str, caller: Caller) -> DecisionView:
        share = self._visibility.own(ref, caller)
        found = replay(share.name, *self._store.decisions.get(share.id))
        return self._visibility.decision(found, caller)

    async def remove(self, ref: str, caller: Caller, *, force: bool = False) -> ShareView:
        async with self._core.turn:
            share = self._visibility.own(ref, caller)
            if not share.state.ended:
                await self._end(share, force=force)
        return await self._view(await self._until(share, (), self._core.patience))

    async def verify(self, ref: str, caller: Caller) -> Verification:
        share = self._holding(ref, caller)
        if share.suspension is not None:
            raise ConflictError(
                f"share {share.name} is suspended",
                "no program of it, the probe neither, gets to the GPU",
                f"gpushare resume {share.name}",
            )
        edits = await self._core.executor.edits(share)
        found = await self._core.verifier.probe(share, edits, fill=await self._alone(share))
        async with self._core.turn:
            if not self._store.shares.get(share.id).state.ended:
                self._store.shares.update(share.id, verified=found)
        return found

    async def gpus(self, caller: Caller) -> Sequence[GpuView]:
        await self._core.placement.refresh()
        machine = self._core.placement.machine
        holding = [share for share in self._store.shares.living() if share.state.holds]
        found = (views.gpu_view(gpu, machine, holding) for gpu in machine.gpus)
        return [self._visibility.gpu(view, caller) for view in found]

    async def version(self, caller: Caller) -> VersionView:  # noqa: ARG002
        return VersionView(version=__version__, driver=await self._driver(), pid=os.getpid())

    async def events(self, since: int, caller: Caller) -> AsyncIterator[Event]:
        async for event in self._bus.follow(since):
            if self._visibility.hears(event, caller):
                yield event

    async def metrics(self, caller: Caller) -> bytes:
        shares = await self._views(self._store.shares.living(), caller)
        gpus = await self.gpus(caller)
        quotas = await self.rules.quotas(caller)
        return metrics.text(self._core, shares, gpus, quotas, await self._driver())

    def _admission(self) -> Admission:
        return Admission(self._core, self.rules.tenant_of)

    async def _join(self, share: Share, process: ProcessRef) -> None:
        """Into the share's control group; raises CgroupError where the memory limit hangs on it."""
        assert share.decision is not None
        joined = await asyncio.to_thread(self._ports.cgroups.add, share.id, process.pid)
        stack = self._ports.mechanisms.stack(share)
        if not joined and any(promise.needs_group for promise in stack):
            raise CgroupError(
                f"process {process.pid} cannot join the control group of {share.name}",
                "the driver limits the memory of that group only",
                "start the program again: gpushare run",
            )

    async def _alone(self, share: Share) -> bool:
        """Whether nobody, of this share or another, can be disturbed on its GPUs."""
        assert share.decision is not None
        gpus = set(share.decision.gpus)
        others = (s.decision for s in self._store.shares.living() if s.state.holds and s != share)
        if any(decision and gpus.intersection(decision.gpus) for decision in others):
            return False
        return not await self._core.reconciler.processes(share)

    async def _driver(self) -> str:
        """Empty on a machine without a driver."""
        try:
            return (await asyncio.to_thread(self._ports.gpus.driver)).version
        except HardwareError:
            return ""

    def _process(self, pid: int, caller: Caller) -> ProcessRef:
        """The caller's process; raises UsageError, NotYoursError."""
        self._access.here(caller)
        process = self._ports.processes.find(pid)
        uid = self._ports.processes.uid(process) if process else None
        if process is None or uid is None:
            raise UsageError(f"no process {pid}", "it has ended or never was")
        if uid != caller.uid and not caller.role.covers(Role.ADMIN):
            raise NotYoursError(f"process {pid} is not yours", f"it belongs to uid {uid}")
        return process

    def _holding(self, ref: str, caller: Caller) -> Share:
        share = self._visibility.own(ref, caller)
        if not share.state.holds:
            raise ConflictError(
                f"share {share.name} is {share.state}",
                share.reason or "only a granted share has a place on a GPU",
                f"gpushare show {share.name}",
            )
        return share

    async def _end(self, share: Share, *, force: bool) -> None:
        processes = await self._core.reconciler.processes(share)
        if processes and not force:
            pids = ", ".join(str(process.pid) for process in processes)
            raise ConflictError(
                f"share {share.name} is in use",
                f"processes {pids}",
                f"end them with it: gpushare rm --force {share.name}",
            )
        await self._core.reconciler.stop(share, "removed")

    async def _until(self, share: Share, states: Sequence[State], timeout: Seconds | None) -> Share:
        """Return when the share is in one of the states, or has ended."""
        share = self._store.shares.get(share.id)
        try:
            async with asyncio.timeout(timeout):
                while share.state not in states and not share.state.ended:
                    await self._bus.changed()
                    share = self._store.shares.get(share.id)
        except TimeoutError:
            raise WaitTimeoutError(
                f"share {share.name} is still {share.state}", f"after {timeout} s", "gpushare ps"
            ) from None
        return share

    async def _answer(self, share: ShareId) -> ShareView:
        """The share, or the error that made it fail."""
        found = self._store.shares.get(share)
        failure = self._core.executor.failure(share)
        if found.state is State.FAILED and failure is not None:
            raise failure
        return await self._view(found)

    async def _view(self, share: Share) -> ShareView:
        return (await self._views([share], None))[0]

    async def _views(self, shares: Sequence[Share], caller: Caller | None) -> list[ShareView]:
        """`caller` None: already allowed."""
        await self._core.observer.look(shares, age=_FRESH_SECONDS)
        queued = any(share.state is State.QUEUED for share in shares)
        waiting = self._core.placement.waiting() if queued else {}
        borrowed = self._core.placement.borrowed()
        return [
            view if caller is None else self._visibility.share(view, share, caller)
            for share in shares
            for view in (self._one(share, waiting.get(share.id), borrowed),)
        ]

    def _one(
        self, share: Share, waiting: Waiting | None, borrowed: Collection[ShareId] | None
    ) -> ShareView:
        return views.share_view(
            share,
            self._core.placement.machine,
            self._core.observer.last(share.id),
            self._core.members.shown(share),
            waiting,
            stack=self._ports.mechanisms.stack(share),
            delivered=self._core.observer.delivery.percent(share.id),
            idle_since=self._core.upkeep.idle.since(share.id),
            borrowed=None if borrowed is None else share.id in borrowed,
        )
