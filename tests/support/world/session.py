# SPDX-License-Identifier: Apache-2.0
"""One life of a daemon on a world, and the calls a user makes on it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gpushare.daemon.services.service import DaemonService
from gpushare.model.access.role import Role
from gpushare.model.share import Caller, ProcessRef
from gpushare.model.spec import ComputeAsk, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import CreateRequest, EnterRequest, ShareView
from support.world.world import UID, Crash, World

ME = Caller(uid=UID, gid=UID, pid=1, role=Role.ADMIN)
STRANGER = Caller(uid=UID + 7, gid=UID + 7, pid=1)


_PASSES = 10  # that follow one another, because each freed something


class DaemonSession:
    def __init__(self, world: World, state: Path, step: Callable[[str], None]) -> None:
        self.world, self.folder = world, state
        self.crash: Crash | None = None
        self.parts = world.parts(state, partial(self._passed, step))
        self.core = self.parts.core
        self.store = self.parts.store

    @property
    def service(self) -> DaemonService:
        """Made when it is first used: a test may replace parts before."""
        return self.parts.service

    def _passed(self, step: Callable[[str], None], name: str) -> None:
        try:
            step(name)
        except Crash as crash:
            self.crash = crash
            raise

    async def tick(self, seconds: float = 2, *, times: int = 1) -> None:
        for _ in range(times):
            self.world.clock.pass_by(seconds)
            await self.reconcile()

    async def reconcile(self) -> None:
        """A pass, what it begins, and the passes that follow because something was freed."""
        for _ in range(_PASSES):
            self.parts.wake.clear()
            await self.core.reconcile()
            await self.settle()
            if not self.parts.wake.is_set():
                return

    async def settle(self) -> None:
        """Everything that is in progress has ended, or the daemon has died."""
        await self.parts.acts.settled()
        if self.crash is not None:
            raise self.crash

    async def create(
        self, gib: int | None = 8, *, holder: ProcessRef | None = None, wait: bool = True, **spec
    ) -> ShareView:
        memory = MemoryAsk() if gib is None else MemoryAsk(limit=gib * GIB)
        compute = ComputeAsk(limit=spec.pop("compute", 100))
        request = CreateRequest(
            spec=ShareSpec(memory=memory, compute=compute, **spec),
            holder=holder.pid if holder else None,
            wait=wait,
            program="train.py",
        )
        share = await self.service.create(request, ME)
        await self.settled()
        return await self.service.show(share.id, ME)

    async def run(self, gib: int | None = 8, **spec) -> tuple[ShareView, ProcessRef]:
        """As `gpushare run` does: hold, wait, enter, become the program."""
        process = self.world.spawn()
        share = await self.create(gib, holder=process, **spec)
        if share.state not in {"granted", "suspended"}:
            return share, process
        entry = await self.service.enter(share.id, EnterRequest(pid=process.pid), ME)
        self.world.enter(process, entry.env)
        return await self.show(share.id), process

    async def run_two(self, gib: int) -> None:
        """`first` and `second`, each with as much memory."""
        for name in ("first", "second"):
            await self.run(gib, name=name)

    async def settled(self) -> None:
        """What was begun has ended, with the passes that follow because something was freed."""
        await self.settle()
        if self.parts.wake.is_set():
            await self.reconcile()

    async def show(self, ref: str) -> ShareView:
        await self.settled()
        return await self.service.show(ref, ME)

    async def state(self, ref: str) -> str:
        return (await self.show(ref)).state


@contextmanager
def session(world: World, state: Path, step: Callable[[str], None] = lambda _: None) -> Any:
    found = DaemonSession(world, state, step)
    try:
        yield found
    finally:
        found.parts.acts.close()
        found.parts.processes.close()
        found.store.close()


def live(
    world: World,
    state: Path,
    story: Callable[[DaemonSession], Awaitable[Any]],
    step: Callable[[str], None] = lambda _: None,
) -> Any:
    """A daemon starts, the story happens to it, and it goes."""

    async def life() -> Any:
        with session(world, state, step) as here:
            await here.reconcile()
            return await story(here)

    return asyncio.run(life())
