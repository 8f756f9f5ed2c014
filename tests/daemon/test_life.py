# SPDX-License-Identifier: Apache-2.0
"""The life of shares: granted, entered, left, ended."""

import asyncio
import signal
from datetime import timedelta

import pytest

from gpushare.model.errors import (
    ConflictError,
)
from gpushare.model.share import State
from gpushare.model.view import EnterRequest
from support.world.session import ME, live


def test_a_program_has_its_share_while_it_lives(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        assert share.state is State.RUNNING
        assert share.pids == (process.pid,)
        assert share.name == "train"
        assert share.simulated
        assert world.made == {("timeslice", share.id), ("guard", share.id)}
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made
        assert not world.groups

    live(world, state, story)


def test_entering_gives_the_environment(world, state):
    async def story(daemon):
        process = world.spawn()
        share = await daemon.create(8, holder=process)
        entry = await daemon.service.enter("train", EnterRequest(pid=process.pid), ME)
        assert entry.env["GPUSHARE_SHARE"] == share.id
        assert entry.env["VIA"] == "guard"
        assert process.pid in world.pids(share.id)

    live(world, state, story)


@pytest.mark.parametrize("with_cgroups", [True, False])
def test_a_child_keeps_the_share_when_its_parent_ends(world, state, with_cgroups):
    world.with_cgroups = with_cgroups

    async def story(daemon):
        share, parent = await daemon.run(8)
        child = world.spawn(parent.pid)
        world.end(parent)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        world.end(child)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_child_forked_and_orphaned_between_two_looks_is_found_by_its_mark(world, state):
    world.with_cgroups = False

    async def story(daemon):
        share, parent = await daemon.run(8)
        await daemon.tick()
        orphan = world.spawn(world.spawn(parent.pid).pid)
        world.end(parent)
        await daemon.tick()
        assert orphan.pid in (await daemon.show(share.id)).pids

    live(world, state, story)


def test_the_end_of_a_program_wakes_the_loop(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        world.end(process)
        await asyncio.wait_for(daemon.parts.rest.rest(3600), 10)

    live(world, state, story)


def test_a_share_without_holder_stays_until_removed(world, state):
    async def story(daemon):
        share = await daemon.create(8, name="desk")
        process = world.spawn()
        await daemon.service.enter("desk", EnterRequest(pid=process.pid), ME)
        world.end(process)
        await daemon.tick()
        assert await daemon.state("desk") == State.GRANTED
        removed = await daemon.service.remove("desk", ME)
        assert removed.state is State.RELEASED
        assert removed.id == share.id

    live(world, state, story)


def test_a_holder_that_dies_before_it_enters_gives_the_share_back(world, state):
    async def story(daemon):
        holder = world.spawn()
        await daemon.create(8, holder=holder)
        world.end(holder)
        await daemon.tick()
        assert await daemon.state("train") == State.RELEASED

    live(world, state, story)


def test_a_pid_that_was_given_to_another_process_holds_nothing(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        world.groups[share.id].clear()
        world.spawn(pid=process.pid)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_time_is_up(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, ttl=60)
        await daemon.tick(59)
        assert await daemon.state(share.id) == State.RUNNING
        await daemon.tick(2)
        assert set(world.drained) == {("train", (process.pid,))}
        assert world.signals == [(process.pid, signal.SIGTERM)]
        await daemon.tick(11)
        assert world.signals[-1] == (process.pid, signal.SIGKILL)
        world.end(process)
        await daemon.tick()
        ended = await daemon.show(share.id)
        assert (ended.state, ended.reason) == (State.RELEASED, "its time is over")

    live(world, state, story)


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
def test_a_clock_that_jumps_ends_nothing_and_extends_nothing(world, state, jump):
    async def story(daemon):
        share, process = await daemon.run(8, ttl=60)
        await daemon.tick(1)
        world.clock.wall += jump
        await daemon.tick(30)
        assert await daemon.state(share.id) == State.RUNNING
        assert not world.signals
        await daemon.tick(40)
        assert world.signals == [(process.pid, signal.SIGTERM)]

    live(world, state, story)


def test_a_share_in_use_is_removed_by_force_only(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        with pytest.raises(ConflictError, match="in use"):
            await daemon.service.remove("train", ME)
        removing = asyncio.create_task(daemon.service.remove("train", ME, force=True))
        while not world.signals:  # noqa: ASYNC110 (the world has no bell)
            await asyncio.sleep(0)
        world.end(process)
        await daemon.tick()
        assert (await removing).state is State.RELEASED

    live(world, state, story)


def test_removing_twice_is_removing_once(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        first = await daemon.service.remove(share.id, ME)
        assert await daemon.service.remove(share.id, ME) == first

    live(world, state, story)


def test_a_restarted_daemon_knows_its_shares_again(world, state):
    async def before(daemon):
        share, process = await daemon.run(8)
        return share.id, process

    share, process = live(world, state, before)

    async def after(daemon):
        assert (await daemon.show(share)).pids == (process.pid,)
        assert await daemon.state(share) == State.RUNNING
        assert not world.signals
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share) == State.RELEASED

    live(world, state, after)


def test_a_program_that_ended_while_no_daemon_ran_is_noticed(world, state):
    async def before(daemon):
        return await daemon.run(8)

    share, process = live(world, state, before)
    world.end(process)

    async def after(daemon):
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made

    live(world, state, after)
