# SPDX-License-Identifier: Apache-2.0
"""Shares that wait, and what is refused instead."""

import asyncio

import pytest

from gpushare.model.errors import (
    NeverFitsError,
    NoCapacityError,
    WaitTimeoutError,
)
from gpushare.model.share import State
from gpushare.model.units import GIB, Seconds
from support.world.session import ME, live


def test_the_queue_moves_when_room_is_made(world, state):
    async def story(daemon):
        _, first = await daemon.run(60, name="first")
        second = await daemon.create(60, name="second")
        third = await daemon.create(1, name="third")
        assert second.state is State.QUEUED
        assert second.queue.position == 1
        assert "60 GiB of memory on GPU 0" in second.queue.waits_for
        assert third.queue.position == 2
        world.end(first)
        await daemon.tick()
        assert await daemon.state("second") == State.GRANTED
        assert await daemon.state("third") == State.GRANTED

    live(world, state, story)


def test_waiting_ends_when_the_share_is_granted(world, state):
    async def story(daemon):
        _, first = await daemon.run(60, name="first")
        await daemon.create(60, name="second")
        waiting = asyncio.create_task(
            daemon.service.wait("second", (State.GRANTED,), Seconds(60), ME)
        )
        await asyncio.sleep(0)
        world.end(first)
        await daemon.tick()
        assert (await waiting).state is State.GRANTED

    live(world, state, story)


def test_waiting_without_success_times_out(world, state):
    async def story(daemon):
        await daemon.create(60, name="first")
        await daemon.create(60, name="second")
        with pytest.raises(WaitTimeoutError, match="still queued"):
            await daemon.service.wait("second", (State.GRANTED,), Seconds(0), ME)

    live(world, state, story)


def test_no_wait_is_refused_and_leaves_nothing(world, state):
    async def story(daemon):
        await daemon.create(60)
        with pytest.raises(NoCapacityError, match="does not fit now"):
            await daemon.create(60, wait=False)
        assert len(await daemon.service.shares(ME, ended=True)) == 1

    live(world, state, story)


def test_what_never_fits_leaves_nothing(world, state):
    async def story(daemon):
        with pytest.raises(NeverFitsError):
            await daemon.create(500)
        assert not await daemon.service.shares(ME, ended=True)

    live(world, state, story)


def test_a_queued_share_whose_program_dies_leaves_the_queue(world, state):
    async def story(daemon):
        await daemon.create(60)
        holder = world.spawn()
        await daemon.create(60, holder=holder, name="second")
        world.end(holder)
        await daemon.tick()
        assert await daemon.state("second") == State.RELEASED

    live(world, state, story)


def test_memory_of_strangers_is_not_granted_and_that_of_members_counts_once(world, state):
    async def story(daemon):
        share, process = await daemon.run(30)
        world.occupy(process, 29)
        world.occupy(world.spawn(), 20)
        waiting = await daemon.create(40, name="second")
        assert waiting.queue.waits_for == "40 GiB of memory on GPU 0 (30 GiB free)"
        assert (await daemon.show(share.id)).memory.used == 29 * GIB
        assert (await daemon.create(40, name="third", gpus=1)).state is State.QUEUED

    live(world, state, story)
