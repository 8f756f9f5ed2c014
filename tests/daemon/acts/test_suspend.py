# SPDX-License-Identifier: Apache-2.0
"""Shares leave the GPU and come back; a daemon that dies in between leaves nothing half done."""

import pytest

from gpushare.guard import Failure
from gpushare.model.errors import (
    ConflictError,
    HostMemoryError,
    MoveFailedError,
    MoveTimeoutError,
    MpsStuckError,
    NoCapacityError,
    NotSuspendableError,
    NotYoursError,
)
from gpushare.model.share import Cause, State, Tier
from gpushare.model.units import GIB
from gpushare.model.view import EnterRequest, ResumeRequest, SuspendRequest
from gpushare.store import Act
from support.world.session import ME, STRANGER, live
from support.world.world import stuck

PLAIN, BACK = SuspendRequest(), ResumeRequest()


def test_a_share_leaves_and_comes_back(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        away = await daemon.service.suspend("train", PLAIN, ME)
        assert away.state is State.SUSPENDED
        assert away.suspension.cause is Cause.USER
        assert world.regions.away(share.id)
        moved = away.moved[Tier.MEMORY]
        assert (moved.out_seconds, moved.out_bytes) == (0.25, 4 * GIB)
        back = await daemon.service.resume("train", BACK, ME)
        assert (back.state, back.suspension) == (State.RUNNING, None)
        assert not world.regions.away(share.id)
        moved = back.moved[Tier.MEMORY]
        assert (moved.out_seconds, moved.in_seconds, moved.in_bytes) == (0.25, 0.125, 4 * GIB)

    live(world, state, story)


def test_suspending_and_resuming_twice_is_once(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        for _ in range(2):
            await daemon.service.suspend("train", PLAIN, ME)
        assert world.regions.halts[share.id] == 1
        for _ in range(2):
            assert (await daemon.service.resume("train", BACK, ME)).state is State.RUNNING
        assert world.regions.halts[share.id] == 2

    live(world, state, story)


def test_others_may_have_its_room_and_it_waits_to_come_back(world, state):
    async def story(daemon):
        await daemon.run(60, name="first")
        second, _ = await daemon.run(60, name="second")
        assert second.state is State.QUEUED
        await daemon.service.suspend("first", PLAIN, ME)
        assert (await daemon.show("second")).state is State.GRANTED
        with pytest.raises(NoCapacityError) as caught:
            await daemon.service.resume("first", BACK, ME)
        assert "60 GiB of memory on GPU 0" in caught.value.because
        await daemon.service.remove("second", ME)
        assert (await daemon.service.resume("first", BACK, ME)).state is State.RUNNING

    live(world, state, story)


def test_the_contexts_it_leaves_behind_are_not_given_away(world, state):
    async def story(daemon):
        await daemon.run(40, name="first")
        await daemon.service.suspend("first", PLAIN, ME)
        world.clock.pass_by(1)
        await daemon.show("first")
        with pytest.raises(NoCapacityError) as caught:
            await daemon.create(80, wait=False)
        assert "79.5 GiB free" in caught.value.because

    live(world, state, story)


def test_two_acts_that_were_cut_short_do_not_cross(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        world.trouble = stuck
        with pytest.raises(MpsStuckError):
            await daemon.service.suspend("train", PLAIN, ME)
        with pytest.raises(ConflictError, match="is in progress"):
            await daemon.service.suspend("train", PLAIN, ME)
        world.trouble = lambda: None
        await daemon.service.suspend("train", PLAIN, ME)
        await daemon.tick()
        assert await daemon.state("train") == State.SUSPENDED
        assert world.regions.away(share.id)

    live(world, state, story)


def test_a_share_without_programs_leaves_at_once(world, state):
    async def story(daemon):
        await daemon.create(8, name="desk")
        assert (await daemon.service.suspend("desk", PLAIN, ME)).state is State.SUSPENDED
        assert (await daemon.service.resume("desk", BACK, ME)).state is State.GRANTED

    live(world, state, story)


def test_a_program_may_enter_a_suspended_share_and_stands_still(world, state):
    async def story(daemon):
        share = await daemon.create(8, name="desk")
        await daemon.service.suspend("desk", PLAIN, ME)
        process = world.spawn()
        await daemon.service.enter("desk", EnterRequest(pid=process.pid), ME)
        await daemon.tick()
        assert await daemon.state("desk") == State.SUSPENDED
        assert world.regions.away(share.id)

    live(world, state, story)


def test_a_program_killed_while_away_takes_its_share_with_it(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        await daemon.service.suspend("train", PLAIN, ME)
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made

    live(world, state, story)


def test_a_suspended_share_survives_hours_and_another_daemon(world, state):
    async def before(daemon):
        share, _ = await daemon.run(8)
        await daemon.service.suspend("train", PLAIN, ME)
        return share.id

    share = live(world, state, before)
    world.clock.pass_by(5 * 3600)

    async def after(daemon):
        await daemon.tick()
        assert await daemon.state(share) == State.SUSPENDED
        assert (await daemon.service.resume(share, BACK, ME)).state is State.RUNNING

    live(world, state, after)


def test_what_cannot_move_is_reported_before_anyone_relies_on_it(world, state):
    world.regions.fixed = 0b1

    async def story(daemon):
        await daemon.run(8)
        world.clock.pass_by(1)
        share = await daemon.show("train")
        assert not share.suspendable.yes
        assert share.suspendable.because == "it uses managed memory"
        with pytest.raises(NotSuspendableError) as caught:
            await daemon.service.suspend("train", PLAIN, ME)
        assert "managed memory" in caught.value.because
        assert await daemon.state("train") == State.RUNNING
        assert not world.regions.away(share.id)

    live(world, state, story)


def test_a_share_without_the_guard_cannot_be_suspended(world, state):
    async def story(daemon):
        share, _ = await daemon.run(None)
        assert "exclusive" in share.suspendable.because
        with pytest.raises(NotSuspendableError):
            await daemon.service.suspend("train", PLAIN, ME)

    live(world, state, story)


@pytest.mark.parametrize(
    ("failure", "error", "said"),  # prose: allow
    [
        (Failure.UNMOVABLE, NotSuspendableError, "cannot move"),
        (Failure.HOST_MEMORY, HostMemoryError, "4 GiB of host memory"),
        (Failure.DRIVER, MoveFailedError, "driver"),
    ],
)
def test_a_program_that_does_not_get_away_runs_on(world, state, failure, error, said):
    world.regions.failure = failure

    async def story(daemon):
        share, _ = await daemon.run(8)
        with pytest.raises(error) as caught:
            await daemon.service.suspend("train", PLAIN, ME)
        assert said in str(caught.value)
        assert caught.value.hint
        assert await daemon.state("train") == State.RUNNING
        assert not world.regions.away(share.id)
        assert not daemon.store.intents.pending()

    live(world, state, story)


def test_a_program_that_does_not_answer_in_time_runs_on(world, state):
    world.regions.stuck = True

    async def story(daemon):
        share, process = await daemon.run(8)
        with pytest.raises(MoveTimeoutError, match="within 60 s") as caught:
            await daemon.service.suspend("train", PLAIN, ME)
        assert str(process.pid) in caught.value.because
        assert await daemon.state("train") == State.RUNNING
        assert not world.regions.away(share.id)

    live(world, state, story)


def test_a_share_that_finds_no_gpu_memory_stays_away(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        await daemon.service.suspend("train", PLAIN, ME)
        world.regions.full = True
        with pytest.raises(MoveTimeoutError):
            await daemon.service.resume("train", BACK, ME)
        assert await daemon.state("train") == State.SUSPENDED
        assert world.regions.away(share.id)
        world.regions.full = False
        assert (await daemon.service.resume("train", BACK, ME)).state is State.RUNNING

    live(world, state, story)


def test_a_return_that_was_cut_short_keeps_its_room(world, state):
    async def story(daemon):
        await daemon.run(60, name="first")
        await daemon.service.suspend("first", PLAIN, ME)
        world.trouble = stuck
        with pytest.raises(MpsStuckError):
            await daemon.service.resume("first", BACK, ME)
        found = await daemon.create(60, name="second")
        assert found.state is State.QUEUED
        world.trouble = lambda: None
        await daemon.tick()
        assert await daemon.state("first") == State.RUNNING

    live(world, state, story)


def test_no_process_enters_a_share_that_is_being_released(world, state):
    async def story(daemon):
        await daemon.create(8, name="desk")
        world.trouble = stuck
        with pytest.raises(MpsStuckError):
            await daemon.service.remove("desk", ME)
        process = world.spawn()
        with pytest.raises(ConflictError, match="is in progress"):
            await daemon.service.enter("desk", EnterRequest(pid=process.pid), ME)
        world.trouble = lambda: None
        with pytest.raises(ConflictError, match="released"):
            await daemon.service.enter("desk", EnterRequest(pid=process.pid), ME)

    live(world, state, story)


def test_only_the_owner_moves_a_share(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        for act, request in (
            (daemon.service.suspend, PLAIN),
            (daemon.service.resume, BACK),
        ):
            with pytest.raises(NotYoursError):
                await act(share.id, request, STRANGER)

    live(world, state, story)


def test_a_queued_share_has_nothing_to_move(world, state):
    async def story(daemon):
        await daemon.run_two(80)
        with pytest.raises(ConflictError, match="queued"):
            await daemon.service.suspend("second", PLAIN, ME)

    live(world, state, story)


def test_a_suspended_share_is_not_probed(world, state):
    async def story(daemon):
        await daemon.run(8)
        await daemon.service.suspend("train", PLAIN, ME)
        with pytest.raises(ConflictError, match="suspended"):
            await daemon.service.verify("train", ME)

    live(world, state, story)


def test_ending_a_suspended_share_by_force_ends_its_programs(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, ttl=60)
        await daemon.service.suspend("train", PLAIN, ME)
        await daemon.tick(61)
        assert world.signals[0][0] == process.pid
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_acts_that_were_confirmed_leave_no_intent(world, state):
    async def story(daemon):
        await daemon.run(8)
        await daemon.service.suspend("train", PLAIN, ME)
        assert daemon.store.intents.pending() == []
        assert {act.value for act in Act} >= {"suspend", "resume", "adjust"}

    live(world, state, story)
