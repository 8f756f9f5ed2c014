# SPDX-License-Identifier: Apache-2.0
"""Lets processes of callers enter a share: control group, membership, and the edits to apply."""

import asyncio
import os
from collections.abc import Iterator

from gpushare.daemon.access.access import Access
from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress, outcome
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.present.views import nearby
from gpushare.delivery.host import environment_change
from gpushare.mechanisms.guard.living_shares import MARK
from gpushare.model.access.role import Role
from gpushare.model.edits import Edits
from gpushare.model.errors import (
    CgroupError,
    ConflictError,
    DeniedError,
    NotYoursError,
    UsageError,
)
from gpushare.model.share import Caller, Entered, ProcessRef, Share
from gpushare.model.view import Entry

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
        process, uid = self._found(pid, caller)
        if uid != caller.uid and not caller.role.covers(Role.ADMIN):
            raise NotYoursError(f"process {pid} is not yours", f"it belongs to uid {uid}")
        return process

    def newcomer(self, share: Share, pid: int, caller: Caller) -> ProcessRef:
        """A process that may enter the share; raises UsageError, NotYoursError, DeniedError.

        It belongs to the share's user: as another user's it could neither be limited nor ended. And
        the end of the share must not end what others need.
        """
        process, uid = self._found(pid, caller)
        if uid != share.uid or (uid != caller.uid and not caller.role.covers(Role.ADMIN)):
            raise NotYoursError(
                f"process {pid} cannot enter share {share.id}",
                f"the process belongs to uid {uid}",
                "only the owner of a share can start programs in it",
            )
        if because := self._needed(process):
            raise DeniedError(
                f"process {pid} cannot enter a share",
                because,
                f"start the program in it: gpushare exec {share.id} -- PROGRAM",
            )
        return process

    def entry(self, share: Share, edits: Edits, preload: str) -> Entry:
        """What the process does to itself before it becomes the program."""
        change = environment_change(edits, preload)
        cpus, numa = nearby(share, self._machine.latest)
        # Children inherit the variable, so orphans are found by it where there is no control group.
        env = {**change.env, MARK: share.id}
        return Entry(share=share.id, env=env, unset=change.unset, cpus=cpus, numa=numa)

    def _found(self, pid: int, caller: Caller) -> tuple[ProcessRef, int]:
        self._access.here(caller)
        process = self._ports.processes.find(pid)
        uid = self._ports.processes.uid(process) if process else None
        # A process may end between the two questions.
        if process is None or uid is None:
            raise UsageError(f"no process {pid}", "it has ended or never existed")
        return process, uid

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

    async def _admit(self, share: Share) -> None:
        """Raises ConflictError for a program that the driver would refuse a context."""
        stack = self._ports.mechanisms.stack(share)
        if not any(promise.one_process for promise in stack):
            return
        if users := await self._escapes.on_gpus(share):
            raise ConflictError(
                f"share {share.name} has a program on its GPU, and takes no second one",
                f"process {', '.join(map(str, users))}; compute mode EXCLUSIVE_PROCESS admits one",
                "for several processes: --mechanism mps, or without exclusive_compute_mode",
            )

    async def _enter(self, share: Share, process: ProcessRef) -> tuple[Share, Edits]:
        await self._admit(share)
        share, edits = await self._prepare(share)
        place, at = self._ports.cgroups.place_of(process.pid), self._ports.processes.ticks()
        # Before it is recorded as a member: a process that cannot join must not count as one.
        grouped = bool(edits.cgroup) and await self._join(share, process)
        entry = Entered(process=process, at=at, grouped=grouped, place=place)
        before = [it for it in share.entered if self._ports.processes.alive(it.process)]
        share = self._executor.mark_running(
            share,
            members=tuple(dict.fromkeys((*self._living(share), process))),
            entered=(*(it for it in before if it.process != process), entry),
        )
        self._processes.watch_some(share.id, process)
        self._escapes.entered()
        return share, edits

    def _living(self, share: Share) -> Iterator[ProcessRef]:
        """Without those that ended: thousands of programs may enter one share."""
        return (it for it in share.members if self._ports.processes.alive(it))

    def _needed(self, process: ProcessRef) -> str:
        """Why more than the share would end with the process; "" if nothing would."""
        if process.pid == 1 or self._ports.processes.first_of_namespace(process):
            return "it is the first process of its pid namespace, which ends with it"
        if process in self._ports.processes.ancestors(os.getpid()):
            return "it runs the daemon"
        return ""

    async def _join(self, share: Share, process: ProcessRef) -> bool:
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
        return joined
