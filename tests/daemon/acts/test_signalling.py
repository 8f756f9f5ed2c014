# SPDX-License-Identifier: Apache-2.0
"""Which processes end with a share, and which go on."""

import os
import re
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

import gpushare
from gpushare.model.access.role import Role
from gpushare.model.errors import DeniedError, NotYoursError
from gpushare.model.leftover import CleanRequest, Outcome
from gpushare.model.share import Caller
from gpushare.model.view import EnterRequest
from support.world.session import ME, STRANGER, live
from support.world.world import UID

MARK = "GPUSHARE_SHARE"
SOURCE = Path(gpushare.__file__).parent


async def removed(daemon, share, caller=ME):
    """`rm --force`, with passes until no process is left; what the answer says was spared."""
    await daemon.parts.termination.stop(
        daemon.store.shares.get(share.id), "removed", caller.pid if caller else None
    )
    await daemon.tick(20, times=2)
    for process in [p for p in daemon.world.living() if p in killed(daemon)]:
        daemon.world.end(daemon.parts.ports.processes.find(process))
    await daemon.tick(2, times=2)
    [shown] = [s for s in await daemon.service.shares(ME, ended=True) if s.id == share.id]
    assert shown.state == "released"
    return {one.pid: one.because for one in shown.spared}


def killed(daemon):
    return {pid for pid, _ in daemon.world.signals}


async def entered(daemon, share, **how):
    process = daemon.world.spawn(**how)
    await daemon.service.enter(share.id, EnterRequest(pid=process.pid), ME)
    return process


@pytest.fixture(params=[True, False], ids=["groups", "no groups"])
def world(world, request):
    world.with_cgroups = request.param
    world.spawn(parent=0, pid=1)
    return world


def test_what_entered_and_what_it_started_ends_with_the_share(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        shell = await entered(daemon, share)
        child = world.spawn(shell.pid)
        grandchild = world.spawn(child.pid)
        assert await removed(daemon, share) == {}
        assert killed(daemon) == {shell.pid, child.pid, grandchild.pid}

    live(world, state, story)


def test_what_ran_below_a_process_before_it_entered_goes_on(world, state):
    """A shell that enters has background jobs; they have not chosen the share."""

    async def story(daemon):
        share = await daemon.create(8)
        shell = world.spawn()
        job = world.spawn(shell.pid)
        jobs_child_later = world.spawn(job.pid)
        await daemon.service.enter(share.id, EnterRequest(pid=shell.pid), ME)
        world.spawn(job.pid)
        program = world.spawn(shell.pid)
        await daemon.tick()
        assert set((await daemon.show(share.id)).pids) == {shell.pid, program.pid}
        await removed(daemon, share)
        assert killed(daemon) == {shell.pid, program.pid}
        assert jobs_child_later.pid in world.living()

    live(world, state, story)


def test_an_orphan_that_a_member_has_adopted_goes_on(world, state):
    """A session manager collects orphans of sessions that were there before it entered."""
    world.with_cgroups = False

    async def story(daemon):
        share = await daemon.create(8)
        leader = world.spawn(session=0)
        manager = await entered(daemon, share)
        orphan = world.spawn(manager.pid, session=leader.pid)
        own = world.spawn(manager.pid, session=0)
        await removed(daemon, share)
        assert killed(daemon) == {manager.pid, own.pid}
        assert orphan.pid in world.living()

    live(world, state, story)


@pytest.mark.parametrize("who", ["first", "daemon", "above the daemon"])
def test_what_others_need_cannot_enter(world, state, who):
    async def story(daemon):
        share = await daemon.create(8)
        parent = world.spawn()
        itself = world.spawn(parent.pid, pid=os.getpid())
        process = {"first": 1, "daemon": itself.pid, "above the daemon": parent.pid}[who]
        with pytest.raises(DeniedError, match="cannot enter a share"):
            await daemon.service.enter(share.id, EnterRequest(pid=process), ME)
        assert await removed(daemon, share) == {}
        assert not killed(daemon)

    live(world, state, story)


def test_the_first_process_of_a_namespace_cannot_enter(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        container = world.spawn()
        status = world.root / "proc" / str(container.pid) / "status"
        status.write_text(f"{status.read_text()}NSpid:\t{container.pid}\t1\n")
        with pytest.raises(DeniedError, match="cannot enter a share"):
            await daemon.service.enter(share.id, EnterRequest(pid=container.pid), ME)

    live(world, state, story)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_enters_a_process_of_another_user(world, state, role):
    """Not even an admin: as another user's it could neither be limited nor ended."""

    async def story(daemon):
        share = await daemon.create(8)
        victim = world.spawn(uid=STRANGER.uid)
        caller = replace(ME, role=role)
        with pytest.raises(NotYoursError, match="belongs to uid"):
            await daemon.service.enter(share.id, EnterRequest(pid=victim.pid), caller)

    live(world, state, story)


def test_members_that_earlier_releases_let_in_are_spared(world, state):
    """State files may contain the first process, and what runs the daemon, as members."""

    async def story(daemon):
        share, program = await daemon.run(8)
        parent = world.spawn()
        world.spawn(parent.pid, pid=os.getpid())
        first = daemon.parts.ports.processes.find(1)
        daemon.store.shares.update(share.id, members=(program, first, parent), entered=())
        newborn = world.spawn(1)
        spared = await removed(daemon, share)
        assert spared == {parent.pid: "it runs the daemon"}
        assert killed(daemon) == {program.pid}
        assert newborn.pid in world.living()

    live(world, state, story)


def test_the_command_that_ends_a_share_is_spared_with_all_above_it(world, state):
    """`rm --force` in a shell that has entered."""

    async def story(daemon):
        share = await daemon.create(8)
        shell = await entered(daemon, share)
        program = world.spawn(shell.pid)
        command = world.spawn(shell.pid)
        spared = await removed(daemon, share, replace(ME, pid=command.pid))
        assert spared == dict.fromkeys((shell.pid, command.pid), "it runs this command")
        assert killed(daemon) == {program.pid}
        if world.with_cgroups:
            assert sorted(world.left) == sorted(
                [(shell.pid, f"/before-{shell.pid}"), (command.pid, f"/before-{shell.pid}")]
            )
        [event] = [e for e in daemon.store.events.since(0) if e.type == "share.spared"]
        assert f"process {shell.pid}: it runs this command" in event.message

    live(world, state, story)


def test_the_pid_of_a_remote_caller_means_nothing(world, state):
    async def story(daemon):
        share, program = await daemon.run(8)
        world.end(program)
        await daemon.service.remove(share.id, Caller(uid=UID, gid=UID, pid=1, remote="10.0.0.1"))

    live(world, state, story)


def test_a_child_that_became_another_user_is_spared(world, state):
    async def story(daemon):
        share, program = await daemon.run(8)
        daemon.store.shares.update(share.id, uid=UID + 3)
        status = world.root / "proc" / str(program.pid) / "status"
        status.write_text(re.sub(r"Uid:\t\d+", f"Uid:\t{UID + 3}", status.read_text()))
        other = world.spawn(program.pid, uid=STRANGER.uid)
        spared = await removed(daemon, share)
        assert spared == {other.pid: f"it belongs to uid {STRANGER.uid}"}
        assert killed(daemon) == {program.pid}

    live(world, state, story)


def test_what_only_the_region_names_is_spared(world, state):
    """The tenant can write the region."""

    async def story(daemon):
        share, program = await daemon.run(8)
        lone = world.spawn()
        world.claimed = (lone.pid,)
        spared = await removed(daemon, share)
        assert spared == {lone.pid: "only the share's region names it"}
        assert killed(daemon) == {program.pid}

    live(world, state, story)


def test_a_process_of_another_share_is_spared(world, state):
    """The second share was made from a program of the first."""

    async def story(daemon):
        share, program = await daemon.run(8)
        other = await daemon.create(8, name="inner")
        inner = world.spawn(program.pid)
        entry = await daemon.service.enter(other.id, EnterRequest(pid=inner.pid), ME)
        world.enter(inner, entry.env)
        child = world.spawn(inner.pid)
        spared = await removed(daemon, share)
        assert killed(daemon) == {program.pid}
        assert spared.keys() <= {inner.pid, child.pid}
        await daemon.tick()
        assert set((await daemon.show(other.id)).pids) == {inner.pid, child.pid}

    live(world, state, story)


def test_an_environment_that_names_the_share_must_fit_to_its_group_and_time(world, state):
    async def story(daemon):
        early = world.spawn()
        share, program = await daemon.run(8)
        world.enter(early, {MARK: share.id})
        outside = world.spawn(environ={MARK: share.id})
        spared = await removed(daemon, share)
        if world.with_cgroups:
            assert spared.keys() == {early.pid, outside.pid}
            assert killed(daemon) == {program.pid}
        else:
            assert spared == {early.pid: "it is older than the share's first program"}
            assert killed(daemon) == {program.pid, outside.pid}

    live(world, state, story)


def test_time_and_reclaim_spare_the_same(world, state):
    async def story(daemon):
        share, program = await daemon.run(8, ttl=30)
        lone = world.spawn()
        world.claimed = (lone.pid,)
        await daemon.tick(40)
        assert killed(daemon) == {program.pid}
        world.end(program)
        await daemon.tick(20, times=3)
        assert await daemon.state(share.id) == "released"
        assert world.signals == [(program.pid, signal.SIGTERM)]

    live(world, state, story)


def test_an_operator_ends_any_process_by_naming_it_except_what_all_need(world, state):
    async def story(daemon):
        stranger, parent = world.spawn(uid=STRANGER.uid), world.spawn()
        world.spawn(parent.pid, pid=os.getpid())
        for process in (stranger, parent):
            world.occupy(process, 1)
        request = CleanRequest(processes=(stranger, parent), dry_run=False)
        done = {c.leftover.process: c for c in await daemon.service.leftovers.clean(request, ME)}
        assert done[stranger].outcome is Outcome.ASKED
        assert (done[parent].outcome, done[parent].because) == (Outcome.KEPT, "it runs the daemon")
        assert killed(daemon) == {stranger.pid}

    live(world, state, story)


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"os\.kill|killpg|pidfd_send_signal|cgroup\.kill", "hardware/linux/signals.py"),
        (r"ports\.signal\(", "daemon/acts/signalling.py"),
    ],
)
def test_one_place_sends_signals_and_one_decides(pattern, allowed):
    sources = {str(path.relative_to(SOURCE)): path.read_text() for path in SOURCE.rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(pattern, text)] == [allowed]
