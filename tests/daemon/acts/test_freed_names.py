# SPDX-License-Identifier: Apache-2.0
"""The name of a share whose program has just ended is free for the next one."""

import asyncio
import threading

import pytest

from gpushare.model.errors import ConflictError
from gpushare.model.share import State
from support.world.session import live


async def _next(daemon, **spec):
    """A second share of the same name, requested before the daemon has looked again."""
    creating = asyncio.create_task(daemon.create(8, holder=daemon.world.spawn(), **spec))
    await asyncio.wait_for(daemon.parts.wake.wait(), 30)
    assert not creating.done()
    await daemon.reconcile()
    return await asyncio.wait_for(creating, 30)


@pytest.mark.parametrize("gib", [8, None])
def test_a_name_is_free_directly_after_its_program_has_ended(world, state, gib):
    async def story(daemon):
        first, process = await daemon.run(gib, name="x")
        daemon.parts.wake.clear()
        world.end(process)
        second = await _next(daemon, name="x")
        assert second.state == State.GRANTED
        assert second.id != first.id
        assert await daemon.state(first.id) == State.RELEASED

    live(world, state, story)


def test_a_name_is_free_after_a_holder_that_never_entered(world, state):
    async def story(daemon):
        holder = world.spawn()
        await daemon.create(8, holder=holder, name="x")
        daemon.parts.wake.clear()
        world.end(holder)
        assert (await _next(daemon, name="x")).state == State.GRANTED

    live(world, state, story)


def test_a_name_is_free_after_a_queued_share_whose_holder_has_ended(world, state):
    async def story(daemon):
        await daemon.run(80, name="large")
        holder = world.spawn()
        await daemon.create(8, holder=holder, name="x")
        daemon.parts.wake.clear()
        world.end(holder)
        assert (await _next(daemon, name="x")).state == State.QUEUED

    live(world, state, story)


def test_a_name_is_free_once_a_release_in_progress_has_ended(world, state, monkeypatch):
    async def story(daemon):
        may_end, mechanisms = threading.Event(), daemon.parts.ports.mechanisms
        release = mechanisms.release
        monkeypatch.setattr(
            mechanisms, "release", lambda *share: may_end.wait(60) and release(*share)
        )
        _, process = await daemon.run(8, name="x")
        world.end(process)
        daemon.parts.wake.clear()
        await daemon.core.reconcile()  # the release has begun
        assert daemon.parts.acts.shares()
        creating = asyncio.create_task(daemon.create(8, name="x"))
        await asyncio.sleep(0)
        may_end.set()
        second = await asyncio.wait_for(creating, 30)
        assert second.state == State.GRANTED

    live(world, state, story)


def test_a_share_without_programs_that_was_created_keeps_its_name(world, state):
    async def story(daemon):
        await daemon.create(8, name="desk")
        with pytest.raises(ConflictError, match="you have a share named 'desk'"):
            await daemon.create(8, name="desk")

    live(world, state, story)


def test_a_running_program_keeps_the_name_of_its_share(world, state):
    async def story(daemon):
        await daemon.run(8, name="x")
        with pytest.raises(ConflictError, match="you have a share named 'x'"):
            await daemon.create(8, name="x")

    live(world, state, story)


def test_a_child_that_outlives_the_holder_keeps_the_name(world, state):
    async def story(daemon):
        first, process = await daemon.run(8, name="x")
        world.spawn(process.pid)
        world.end(process)
        with pytest.raises(ConflictError, match="you have a share named 'x'"):
            await daemon.create(8, name="x")
        assert await daemon.state(first.id) == State.RUNNING

    live(world, state, story)
