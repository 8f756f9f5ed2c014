# SPDX-License-Identifier: Apache-2.0
"""Shares change while they live."""

from datetime import timedelta

import pytest

from gpushare.model.errors import (
    BadSpecError,
    NeverFitsError,
    NoCapacityError,
    NotYoursError,
    UnsupportedError,
)
from gpushare.model.share import State
from gpushare.model.spec import ComputeAsk, MemoryAsk, Priority
from gpushare.model.units import GIB, Bytes, Percent, Seconds
from gpushare.model.view import EnterRequest, UpdateRequest
from support.world.session import ME, STRANGER, live
from support.world.world import Crash, crash_at, stuck


def compute(percent: int) -> UpdateRequest:
    return UpdateRequest(compute=ComputeAsk(limit=Percent(percent)))


def memory(gib: int) -> UpdateRequest:
    return UpdateRequest(memory=MemoryAsk(limit=Bytes(gib * GIB)))


def test_compute_and_priority_change_at_once(world, state):
    async def story(daemon):
        await daemon.run(8, compute=50)
        wish = UpdateRequest(compute=ComputeAsk(limit=Percent(25)), priority=Priority.LOW)
        found = await daemon.service.update("train", wish, ME)
        assert (found.compute.limit, found.compute.request) == (25, 25)
        assert found.priority is Priority.LOW
        assert world.adjusted == [("mps", "train", 25), ("guard", "train", 25)]
        assert not daemon.store.intents.pending()

    live(world, state, story)


def test_a_program_that_enters_after_a_change_gets_what_it_changed_to(world, state):
    async def story(daemon):
        await daemon.run(8, compute=50)
        await daemon.service.update("train", compute(25), ME)
        later = await daemon.service.enter("train", EnterRequest(pid=world.spawn().pid), ME)
        assert later.env["COMPUTE"] == "25"

    live(world, state, story)


def test_room_that_becomes_free_goes_to_who_waits(world, state):
    async def story(daemon):
        await daemon.run_two(60)
        await daemon.service.update("first", memory(20), ME)
        assert await daemon.state("second") == State.GRANTED
        with pytest.raises(NoCapacityError):
            await daemon.service.update("first", memory(30), ME)
        with pytest.raises(NeverFitsError):
            await daemon.service.update("first", memory(100), ME)
        assert (await daemon.show("first")).memory.limit == 20 * GIB

    live(world, state, story)


def test_a_time_to_live_counts_from_now(world, state):
    async def story(daemon):
        await daemon.run(8, ttl=60)
        await daemon.tick(50)
        found = await daemon.service.update("train", UpdateRequest(ttl=Seconds(60)), ME)
        assert found.expires == world.clock.now() + timedelta(seconds=60)
        await daemon.tick(30)
        assert not world.signals
        await daemon.tick(31)
        assert world.signals

    live(world, state, story)


def test_what_nothing_can_change_is_refused(world, state):
    async def story(daemon):
        await daemon.run(None)
        with pytest.raises(UnsupportedError):
            await daemon.service.update("train", compute(50), ME)

    live(world, state, story)


def test_nonsense_and_strangers_are_refused(world, state):
    with pytest.raises(BadSpecError):
        UpdateRequest(ttl=Seconds(0))

    async def story(daemon):
        share, _ = await daemon.run(8)
        with pytest.raises(NotYoursError):
            await daemon.service.update(share.id, compute(50), STRANGER)

    live(world, state, story)


def test_a_change_that_fails_is_undone(world, state):
    async def story(daemon):
        await daemon.run(8)
        world.trouble = stuck
        with pytest.raises(Exception, match="stuck"):
            await daemon.service.update("train", compute(50), ME)
        world.trouble = lambda: None
        assert (await daemon.show("train")).compute.limit == 100
        await daemon.tick()
        assert world.adjusted[-1] == ("guard", "train", 100)
        assert not daemon.store.intents.pending()

    live(world, state, story)


@pytest.mark.parametrize("step", ["written", "acted", "confirmed"])
def test_a_daemon_that_dies_in_a_change_leaves_the_record_true(world, state, step):
    async def before(daemon):
        await daemon.run(8)
        with pytest.raises(Crash):
            await daemon.service.update("train", compute(50), ME)

    live(world, state, before, crash_at(f"adjust {step}"))

    async def after(daemon):
        limit = (await daemon.show("train")).compute.limit
        assert limit == (50 if step == "confirmed" else 100)
        assert world.adjusted[-1] == ("guard", "train", limit)
        assert not daemon.store.intents.pending()

    live(world, state, after)
