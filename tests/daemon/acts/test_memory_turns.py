# SPDX-License-Identifier: Apache-2.0
"""Shares that take turns: one has the GPU memory, the others wait, none is forgotten."""

import pytest

from gpushare.guard import Failure
from gpushare.model.share import Cause, State
from gpushare.model.units import GIB
from gpushare.model.view import ResumeRequest, SuspendRequest
from support.world.session import ME, live
from support.world.world import TURN_SECONDS, stuck


async def states(daemon, *names):
    return [(await daemon.show(name)).state for name in names]


async def three(daemon):
    return [await daemon.run(60, name=name, turns=True) for name in ("a", "b", "c")]


def test_one_is_on_the_gpu_and_the_others_begin_away(world, state):
    async def story(daemon):
        shares = await three(daemon)
        assert await states(daemon, "a", "b", "c") == ["running", "suspended", "suspended"]
        assert [world.regions.away(share.id) for share, _ in shares] == [False, True, True]
        waiting = await daemon.show("b")
        assert waiting.reason == "waits for its turn"
        assert waiting.suspension.cause is Cause.TURN

    live(world, state, story)


def test_turns_go_round(world, state):
    async def story(daemon):
        await three(daemon)
        order = []
        for _ in range(6):
            now = await states(daemon, "a", "b", "c")
            assert now.count(State.RUNNING) == 1
            order.append("abc"[now.index(State.RUNNING)])
            await daemon.tick(TURN_SECONDS)
        assert "".join(order) == "abcabc"

    live(world, state, story)


def test_a_turn_lasts_as_long_as_it_should(world, state):
    async def story(daemon):
        await three(daemon)
        await daemon.tick(TURN_SECONDS - 1)
        assert await states(daemon, "a", "b") == ["running", "suspended"]
        world.clock.pass_by(1)
        await daemon.core.take_turns()
        assert await states(daemon, "a", "b") == ["suspended", "running"]

    live(world, state, story)


def test_who_is_alone_has_it_all_the_time(world, state):
    async def story(daemon):
        share, _ = await daemon.run(60, turns=True)
        for _ in range(3):
            await daemon.tick(TURN_SECONDS)
        assert await daemon.state(share.id) == State.RUNNING
        assert world.regions.halts.get(share.id, 0) == 0

    live(world, state, story)


def test_one_without_programs_is_passed_over(world, state):
    async def story(daemon):
        await daemon.create(60, name="idle", turns=True)
        await daemon.run(60, name="b", turns=True)
        await daemon.core.take_turns()
        assert await states(daemon, "idle", "b") == ["suspended", "running"]
        await daemon.tick(TURN_SECONDS)
        assert await daemon.state("b") == State.RUNNING

    live(world, state, story)


def test_the_end_of_one_is_the_turn_of_the_next(world, state):
    async def story(daemon):
        (_, process), *_ = await three(daemon)
        world.end(process)
        await daemon.tick(0)
        assert await states(daemon, "b", "c") == ["running", "suspended"]

    live(world, state, story)


def test_one_that_a_user_suspends_is_left_out_until_it_is_resumed(world, state):
    async def story(daemon):
        await three(daemon)
        await daemon.service.suspend("a", SuspendRequest(), ME)
        assert await states(daemon, "a", "b", "c") == ["suspended", "running", "suspended"]
        await daemon.service.suspend("c", SuspendRequest(), ME)
        await daemon.tick(TURN_SECONDS)
        assert await states(daemon, "a", "b", "c") == ["suspended", "running", "suspended"]
        assert (await daemon.show("a")).suspension.cause is Cause.USER
        await daemon.service.resume("a", ResumeRequest(), ME)
        assert await states(daemon, "a", "b", "c") == ["running", "suspended", "suspended"]

    live(world, state, story)


def test_what_fits_next_to_the_others_may_stay(world, state):
    async def story(daemon):
        first, _ = await daemon.run(30, name="a", turns=True)
        await daemon.run(50, name="b", turns=True)
        await daemon.tick(TURN_SECONDS)
        assert world.regions.away(first.id)
        assert world.regions.kept[first.id] == 29 * GIB

    live(world, state, story)


@pytest.mark.parametrize("failure", [Failure.UNMOVABLE, Failure.HOST_MEMORY])
def test_one_that_cannot_leave_keeps_its_turn_and_is_reported(world, state, failure):
    async def story(daemon):
        await three(daemon)
        world.regions.failure = failure
        await daemon.tick(TURN_SECONDS)
        await daemon.tick(0)
        assert (await states(daemon, "a", "b", "c")).count(State.RUNNING) == 1
        assert any(event.type == "share.suspend_failed" for event in daemon.store.events.since(0))

    live(world, state, story)


async def full_and_new(world, daemon):
    """A share with memory on the GPU, and one whose program has just begun."""
    one, process = await daemon.run(60, name="one", turns=True)
    _, newcomer = await daemon.run(60, name="new", turns=True)
    world.regions.empty.add(newcomer.pid)
    return one, process


def test_a_program_without_memory_begins_once_the_other_has_left(world, state):
    async def story(daemon):
        _, process = await full_and_new(world, daemon)
        world.regions.stopped.add(process.pid)  # as by SIGSTOP
        for _ in range(3):
            await daemon.tick(TURN_SECONDS)
            assert await states(daemon, "one", "new") == ["suspended", "suspended"]
        because = "waits for its turn: the share before it has not left the GPU yet"
        assert (await daemon.show("new")).reason == because
        world.regions.stopped.clear()
        await daemon.tick(0)
        assert await states(daemon, "one", "new") == ["suspended", "running"]
        assert (await daemon.show("one")).reason == "waits for its turn"

    live(world, state, story)


def test_what_waits_is_told_that_the_other_cannot_leave(world, state):
    async def story(daemon):
        one, _ = await full_and_new(world, daemon)
        world.regions.failure = Failure.HOST_MEMORY
        await daemon.tick(TURN_SECONDS)
        await daemon.tick(0)
        assert await states(daemon, "one", "new") == ["running", "suspended"]
        because = (
            "waits for its turn: the share before it cannot leave the GPU: no memory on the host"
        )
        assert (await daemon.show("new")).reason == because
        world.regions.failure = Failure.NONE
        await daemon.tick(TURN_SECONDS)
        assert await states(daemon, "one", "new") == ["suspended", "running"]
        assert (await daemon.show(one.id)).reason == "waits for its turn"

    live(world, state, story)


def test_another_daemon_goes_on_where_the_first_one_stopped(world, state):
    async def before(daemon):
        shares = await three(daemon)
        await daemon.tick(TURN_SECONDS)
        world.trouble = stuck
        await daemon.tick(TURN_SECONDS)
        return [share.id for share, _ in shares]

    ids = live(world, state, before)
    world.trouble = lambda: None

    async def after(daemon):
        await daemon.tick(0)
        now = await states(daemon, *ids)
        assert now.count(State.RUNNING) == 1
        running = ids[now.index(State.RUNNING)]
        assert [share for share in ids if not world.regions.away(share)] == [running]

    live(world, state, after)


def test_turns_are_counted_once_on_the_gpu(world, state):
    async def story(daemon):
        await three(daemon)
        (gpu,) = await daemon.service.gpus(ME)
        assert gpu.memory.granted == 60 * GIB

    live(world, state, story)
