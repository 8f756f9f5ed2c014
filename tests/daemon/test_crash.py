# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at every point; whatever happened, nothing leaks and nothing is granted twice.

A world of processes and mechanisms outlives its daemons. A random story happens to it: programs
start, fork and die, time passes, mechanisms fail, and the daemon is dropped at a journal step.
"""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from gpushare.hardware.ports import CheckpointState
from gpushare.model.errors import GpushareError
from gpushare.model.share import ProcessRef, Tier
from gpushare.model.spec import ComputeAsk, MechanismName
from gpushare.model.view import (
    EnterRequest,
    MigrateRequest,
    ResumeRequest,
    SuspendRequest,
    UpdateRequest,
)
from support.world.session import ME, DaemonSession, session
from support.world.world import Crash, World, gone, make_world, stuck

GRANTS = (
    "grant written",
    "grant acted",
    "grant confirmed",
    "release written",
    "release acted",
    "release confirmed",
    "undo acted",
)
MOVES = tuple(
    f"{act} {step}"
    for act in ("suspend", "resume", "adjust")
    for step in ("written", "acted", "confirmed")
)
MIGRATIONS = tuple(
    f"migrate {step}" for step in ("written", "left", "prepared", "placed", "acted", "confirmed")
)
QUIET_TICKS = 6


class Fuse:
    """Burns down once, at the n-th time that its step is passed."""

    def __init__(self, name: str = "", count: int = 1) -> None:
        self.name, self.left = name, count

    def __call__(self, step: str) -> None:
        if step == self.name:
            self.left -= 1
            if self.left == 0:
                raise Crash(step)


class Story:
    """What happens to the world, drawn from `dice`; `programs` are alive and entered."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world, self.dice = world, dice
        self.programs: list[ProcessRef] = []
        self.holders: list[ProcessRef] = []

    async def happen(self, daemon: DaemonSession) -> None:
        acts = [self.run, self.run, self.hold, self.enter, self.fork, self.die, self.die]
        acts += [self.suspend, self.resume, self.update, self.migrate, self.migrate]
        act = self.dice.choice([*acts, self.remove, self.tick, self.trouble, self.leave])
        try:
            await act(daemon)
        except GpushareError:
            self.world.trouble = lambda: None

    async def run(self, daemon: DaemonSession) -> None:
        gib = self.dice.choice([None, 5, 20, 50, 80])
        wishes = [{}, {"ttl": 5}, {"compute": 40}, {"gpus": 2}, {"turns": True}, {"turns": True}]
        more = self.dice.choice(wishes)
        process = self.world.spawn()
        self.holders.append(process)
        share = await daemon.create(gib, holder=process, **more)
        if share.state in {"granted", "suspended"}:
            await self._enter(daemon, share.id, process)

    async def suspend(self, daemon: DaemonSession) -> None:
        request = SuspendRequest(deep=self.dice.random() < 0.3)
        for share in await self._some(daemon, "running"):
            await daemon.service.suspend(share, request, ME)

    async def resume(self, daemon: DaemonSession) -> None:
        for share in await self._some(daemon, "suspended"):
            await daemon.service.resume(share, ResumeRequest(), ME)

    async def update(self, daemon: DaemonSession) -> None:
        compute = ComputeAsk(limit=self.dice.choice([20, 60, 100]))
        for share in await self._some(daemon, "running"):
            await daemon.service.update(share, UpdateRequest(compute=compute), ME)

    async def migrate(self, daemon: DaemonSession) -> None:
        """Sometimes the driver cannot, with all of its programs or with some."""
        closed = set(
            self.dice.sample([gpu.uuid for gpu in self.world.gpus], self.dice.randint(0, 1))
        )
        self.world.checkpoints.closed = closed if self.dice.random() < 0.2 else set()
        for share in await self._some(daemon, self.dice.choice(["running", "suspended"])):
            await daemon.service.migrate(share, MigrateRequest(), ME)

    async def _some(self, daemon: DaemonSession, state: str) -> list[str]:
        """One share in that state, if there is one."""
        found = [share.id for share in await daemon.service.shares(ME) if share.state == state]
        return [self.dice.choice(found)] if found else []

    async def hold(self, daemon: DaemonSession) -> None:
        await daemon.create(self.dice.choice([1, 10]), ttl=30)

    async def enter(self, daemon: DaemonSession) -> None:
        for share in await daemon.service.shares(ME):
            if share.state == "granted":
                holder = daemon.store.shares.get(share.id).holder
                process = holder or self.world.spawn()
                if process.pid in self.world.living():
                    await self._enter(daemon, share.id, process)
                    return

    async def fork(self, daemon: DaemonSession) -> None:
        if self.programs:
            self.programs.append(self.world.spawn(self.dice.choice(self.programs).pid))

    async def die(self, daemon: DaemonSession) -> None:
        for crowd in (self.programs, self.holders):
            if crowd and self.dice.random() < 0.7:
                self._end(crowd.pop(self.dice.randrange(len(crowd))))

    async def remove(self, daemon: DaemonSession) -> None:
        shares = await daemon.service.shares(ME)
        if shares:
            share = self.dice.choice(shares)
            held = daemon.store.shares.get(share.id)
            await daemon.parts.termination.stop(held, "removed")
            await daemon.settled()

    async def tick(self, daemon: DaemonSession) -> None:
        await daemon.tick(self.dice.choice([1, 4, 20]))

    async def trouble(self, daemon: DaemonSession) -> None:
        self.world.trouble = self.dice.choice([stuck, gone, lambda: None])

    async def leave(self, daemon: DaemonSession) -> None:
        """Programs obey the signals they got."""
        for pid, _ in self.world.signals:
            if pid in self.world.living():
                self._end(next(p for p in self._all() if p.pid == pid))
        self.world.signals.clear()

    def end_all(self) -> None:
        for process in self._all():
            self._end(process)

    def _all(self) -> list[ProcessRef]:
        return list({*self.programs, *self.holders})

    def _end(self, process: ProcessRef) -> None:
        for crowd in (self.programs, self.holders):
            if process in crowd:
                crowd.remove(process)
        if process.pid in self.world.living():
            self.world.end(process)

    async def _enter(self, daemon: DaemonSession, share: str, process: ProcessRef) -> None:
        entry = await daemon.service.enter(share, EnterRequest(pid=process.pid), ME)
        self.world.enter(process, entry.env)
        self.programs.append(process)


def check_records(daemon: DaemonSession) -> None:
    """Holds at every moment, also right after a crash."""
    holding = [s for s in daemon.store.shares.living() if s.state.holds]
    for gpu in daemon.world.gpus:
        plain, turns = (
            [
                grant
                for share in holding
                for grant in share.decision.grants
                if grant.gpu == gpu.uuid and share.spec.turns == wanted and not share.aside
            ]
            for wanted in (False, True)
        )
        largest = max((grant.request for grant in turns), default=0)
        assert sum(grant.request for grant in plain) + largest <= gpu.usable
        compute = max((grant.compute_request for grant in turns), default=0)
        assert sum(grant.compute_request for grant in plain) + compute <= 100
        present = [s for s in holding if not s.aside]
        alone = [s for s in present if s.decision.mechanisms[0] is MechanismName.EXCLUSIVE]
        here = [s for s in present if gpu.uuid in s.decision.gpus]
        assert len(here) <= 1 or not any(s in alone for s in here)


def check_moves(daemon: DaemonSession) -> None:
    """Programs are on the GPU, or off it, as the records say."""
    world = daemon.world
    for share in daemon.store.shares.living():
        if share.decision and MechanismName.GUARD in share.decision.mechanisms:
            away = share.suspension is not None and share.suspension.tier is Tier.MEMORY
            assert world.regions.away(share.id) == away, share
    deep = {
        ref.pid
        for share in daemon.store.shares.living()
        if share.suspension and share.suspension.tier is Tier.CHECKPOINT
        for ref in daemon.parts.processes.known(share.id)
    }
    for pid, state in world.checkpoints.states.items():
        if pid in world.living() and pid not in deep:
            assert state is CheckpointState.RUNNING
    check_places(daemon, deep)


def check_places(daemon: DaemonSession, deep: set[int]) -> None:
    """Limits and programs are on the GPUs that the records name."""
    world = daemon.world
    for share in daemon.store.shares.living():
        if share.state.holds and MechanismName.GUARD in share.decision.mechanisms:
            assert world.regions.named[share.id] == share.decision.gpus
    for pid, at in world.checkpoints.at.items():
        if pid in world.living() and pid not in deep:
            assert at == world.region_of(pid)


def check_settled(daemon: DaemonSession, story: Story) -> None:
    """Holds once the daemon had some quiet: the machine is what the records say, and no more."""
    holding = [s for s in daemon.store.shares.living() if s.state.holds]
    should = {(name, s.id) for s in holding for name in s.decision.mechanisms}
    assert daemon.world.made == should
    groups = {s.id for s in holding} if daemon.world.with_cgroups else set()
    assert set(daemon.world.groups) == groups
    assert daemon.store.intents.pending() == []
    living = daemon.world.living()
    for share in holding:
        inside = {ref.pid for ref in daemon.parts.processes.known(share.id)}
        assert share.holder is None or inside or share.holder.pid in living
    check_moves(daemon)
    members = {pid for s in holding for pid in (r.pid for r in daemon.parts.processes.known(s.id))}
    assert {p.pid for p in story.programs if p.pid in living} <= members


async def one_life(world: World, state: Path, story: Story, events: int, fuse: Fuse) -> int:
    """How many events happened before the daemon died, or all of them."""
    happened = 0
    with session(world, state, fuse) as daemon, contextlib.suppress(Crash):
        check_records(daemon)
        await daemon.reconcile()
        while happened < events:
            await story.happen(daemon)
            check_records(daemon)
            happened += 1
    return happened


async def settle(world: World, state: Path, story: Story) -> None:
    world.trouble = lambda: None
    with session(world, state) as daemon:
        for _ in range(QUIET_TICKS):
            await daemon.tick(12)
            await story.leave(daemon)
        check_settled(daemon, story)


async def the_end(world: World, state: Path, story: Story) -> None:
    """When every program is gone and every ttl is over, nothing is left."""
    story.end_all()
    world.trouble = lambda: None
    with session(world, state) as daemon:
        for _ in range(QUIET_TICKS):
            await daemon.tick(60)
        assert daemon.store.shares.living() == []
    assert world.made == set()
    assert world.groups == {}


def play(
    folder: Path, seed: int, events: int, kind: type[Story] = Story, *, with_cgroups: bool = True
) -> int:
    """Many lives of the daemon on one world; how many ended in a crash."""
    dice = random.Random(seed)
    world = make_world(folder / "world", gpus=2)
    world.with_cgroups = with_cgroups
    story, state, crashes = kind(world, dice), folder / "state", 0

    async def lives() -> int:
        left, crashed = events, crashes
        while left > 0:
            steps = GRANTS if dice.random() < 0.7 else dice.choice([MOVES, MIGRATIONS])
            fuse = Fuse(dice.choice(steps), dice.randint(1, 3))
            if left == events:  # so that no story goes without one
                fuse = Fuse(GRANTS[0], 1)
            happened = await one_life(world, state, story, min(left, 25), fuse)
            crashed += fuse.left == 0
            left -= max(1, happened)
            if dice.random() < 0.6:
                await settle(world, state, story)
        await the_end(world, state, story)
        return crashed

    try:
        return asyncio.run(lives())
    finally:
        world.close()


@pytest.mark.parametrize("seed", range(4))
def test_crashes_leave_nothing_behind(tmp_path, seed):
    assert play(tmp_path, seed, 200, with_cgroups=seed % 2 == 0) > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_crashes_leave_nothing_behind(tmp_path, seed):
    """Twenty stories of 200 steps each."""
    assert play(tmp_path, seed, 200, with_cgroups=seed % 2 == 0) > 0


@pytest.mark.parametrize("step", GRANTS)
def test_a_crash_at_each_step_is_mended_by_the_next_daemon(tmp_path, step):
    world = make_world(tmp_path / "world")
    state = tmp_path / "state"
    process = world.spawn()

    async def life(fuse: Fuse, *, first: bool) -> None:
        with session(world, state, fuse) as daemon:
            await daemon.reconcile()
            if first:
                await daemon.create(8, holder=process)
                await daemon.service.remove("train", ME)

    async def story() -> None:
        with pytest.raises(Crash):
            await life(Fuse(step if step != "undo acted" else "grant acted"), first=True)
        if step == "undo acted":
            with pytest.raises(Crash):
                await life(Fuse(step), first=False)
        with session(world, state) as daemon:
            await daemon.tick()
            check_records(daemon)
            holding = [s for s in daemon.store.shares.living() if s.state.holds]
            assert {identity for _, identity in world.made} == {s.id for s in holding}
            world.end(process)
            await daemon.tick()
            assert not world.made
            assert not world.groups
            assert daemon.store.shares.living() == []

    asyncio.run(story())
    world.close()
