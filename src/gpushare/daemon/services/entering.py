# SPDX-License-Identifier: Apache-2.0
"""Lets processes of callers enter a share: control group, membership, and the edits to apply."""

import asyncio

from gpushare.daemon.access.access import Access
from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress, outcome
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.share_processes import MARK, ShareProcesses
from gpushare.daemon.present.views import nearby
from gpushare.delivery.host import environment_change
from gpushare.model.access.role import Role
from gpushare.model.edits import Edits
from gpushare.model.errors import CgroupError, NotYoursError, UsageError
from gpushare.model.share import Caller, ProcessRef, Share
from gpushare.model.view import EnterRequest, Entry

from .readiness import Readiness


class Entering:
    def __init__(
        self,
        ports: HostPorts,
        access: Access,
        *,
        machine: ObservedMachine,
        processes: ShareProcesses,
        executor: Executor,
        escapes: EscapeWatch,
        readiness: Readiness,
        acts: ActsInProgress,
        memory_turns: MemoryTurns,
    ) -> None:
        self._ports, self._access = ports, access
        self._machine, self._processes, self._executor = machine, processes, executor
        self._escapes, self._readiness = escapes, readiness
        self._acts, self._memory_turns = acts, memory_turns

    def process(self, pid: int, caller: Caller) -> ProcessRef:
        """The caller's process; raises UsageError, NotYoursError, DeniedError."""
        self._access.here(caller)
        process = self._ports.processes.find(pid)
        uid = self._ports.processes.uid(process) if process else None
        # A process may end between the two questions.
        if process is None or uid is None:
            raise UsageError(f"no process {pid}", "it has ended or never existed")
        if uid != caller.uid and not caller.role.covers(Role.ADMIN):
            raise NotYoursError(f"process {pid} is not yours", f"it belongs to uid {uid}")
        return process

    async def enter(self, share: Share, process: ProcessRef) -> tuple[Share, Edits]:
        """Make the process a member of the share, which has no act in progress."""
        work = self._enter(share, process)
        share, edits = await outcome(self._acts.begin([share.id], "entered", work, frees=False))
        if share.spec.turns:
            # Before it starts, the share's region says whether its memory may be on the GPU now.
            await self._memory_turns.settle(self._machine.latest)
        return share, edits

    async def prepared(self, share: Share) -> tuple[Share, Edits]:
        """What a program of the share needs around it; the share has no act in progress."""
        work = self._prepare(share)
        return await outcome(self._acts.begin([share.id], "prepared", work, frees=False))

    async def _prepare(self, share: Share) -> tuple[Share, Edits]:
        share = await self._readiness.ensure(share)
        return share, await self._executor.edits(share)

    async def _enter(self, share: Share, process: ProcessRef) -> tuple[Share, Edits]:
        share, edits = await self._prepare(share)
        # Before it is recorded as a member: a process that cannot join must not count as one.
        if edits.cgroup:
            await self._join(share, process)
        members = tuple(dict.fromkeys((*share.members, process)))
        share = self._executor.mark_running(share, members=members)
        self._processes.watch(process)
        self._escapes.entered()
        return share, edits

    def entry(self, share: Share, edits: Edits, request: EnterRequest) -> Entry:
        """What the process does to itself before it becomes the program."""
        change = environment_change(edits, request.preload)
        cpus, numa = nearby(share, self._machine.latest)
        # Children inherit the variable, so orphans are found by it where there is no control group.
        env = {**change.env, MARK: share.id}
        return Entry(share=share.id, env=env, unset=change.unset, cpus=cpus, numa=numa)

    async def _join(self, share: Share, process: ProcessRef) -> None:
        """Into the share's control group; raises CgroupError if the memory limit depends on it."""
        assert share.decision is not None
        joined = await asyncio.to_thread(self._ports.cgroups.add, share.id, process.pid)
        stack = self._ports.mechanisms.stack(share)
        if not joined and any(promise.needs_group for promise in stack):
            raise CgroupError(
                f"process {process.pid} cannot join the control group of {share.name}",
                "the driver limits the memory of that group only",
                "start the program again: gpushare run",
            )
