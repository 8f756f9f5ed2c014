# SPDX-License-Identifier: Apache-2.0
"""A share moves to another GPU, or stays where it was; what a dying daemon leaves is mended."""

import pytest

from gpushare.hardware.ports import CheckpointState
from gpushare.model.errors import (
    ConflictError,
    MoveFailedError,
    MoveTimeoutError,
    NoCapacityError,
    NotMigratableError,
    NotYoursError,
)
from gpushare.model.share import State, Tier
from gpushare.model.view import MigrateRequest, ResumeRequest, SuspendRequest
from support.world.session import ME, STRANGER, live
from support.world.world import UID, Crash, crash_at, make_world

BEST, ZERO, ONE = MigrateRequest(), MigrateRequest(to=("0",)), MigrateRequest(to=("1",))
DEEP, BACK = SuspendRequest(deep=True), ResumeRequest()
RUNNING, AWAY = CheckpointState.RUNNING, CheckpointState.CHECKPOINTED


@pytest.fixture
def world(tmp_path):
    found = make_world(tmp_path / "pair", gpus=2)
    yield found
    found.close()


def kinds(daemon):
    return [event.type for event in daemon.store.events.since(0)]


def test_limits_programs_and_record_come_to_the_other_gpu(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        child = world.spawn(process.pid)
        await daemon.tick()
        moved = await daemon.service.migrate("train", BEST, ME)
        assert moved.state is State.RUNNING
        assert moved.gpus == ("GPU-1",)
        assert moved.why[-1] == "moved from GPU 0 to GPU 1"
        assert moved.suspension is None
        assert moved.moved[Tier.CHECKPOINT].in_seconds is not None
        assert world.regions.named[share.id] == ("GPU-1",)
        for pid in (process.pid, child.pid):
            assert world.checkpoints.at[pid] == ("GPU-1",)
            assert world.checkpoints.states[pid] is RUNNING
        said = list(daemon.store.events.since(0))[-1]
        assert (said.type, said.message) == (
            "share.migrated",
            "from GPU-0 to GPU-1, in 0.00 s",
        )

    live(world, state, story)


def test_who_enters_later_is_prepared_for_the_other_gpu(world, state):
    async def story(daemon):
        await daemon.run(8)
        await daemon.service.migrate("train", ONE, ME)
        await daemon.service.migrate("train", ZERO, ME)
        assert (await daemon.show("train")).gpus == ("GPU-0",)
        again = await daemon.parts.executor.edits(daemon.store.shares.named(UID, "train"))
        assert again.env

    live(world, state, story)


def test_where_it_is_already_nothing_happens(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        await daemon.service.migrate("train", ZERO, ME)
        assert "share.migrated" not in kinds(daemon)
        assert process.pid not in world.checkpoints.states

    live(world, state, story)


def test_a_share_without_programs_moves_too(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        moved = await daemon.service.migrate(share.id, BEST, ME)
        assert (moved.state, moved.gpus) == (State.GRANTED, ("GPU-1",))

    live(world, state, story)


def test_no_share_moves_into_room_that_others_have(world, state):
    async def story(daemon):
        await daemon.run_two(50)
        with pytest.raises(NoCapacityError, match="first cannot move now"):
            await daemon.service.migrate("first", BEST, ME)
        assert not world.checkpoints.states

    live(world, state, story)


@pytest.mark.parametrize(
    ("wish", "because"),
    [({"compute": 50}, "MPS"), ({"gib": None}, "only the guard"), ({"turns": True}, "turns")],
)
def test_what_cannot_move_says_why_before_it_is_asked(world, state, wish, because):
    async def story(daemon):
        await daemon.run(**{"gib": 8, **wish})
        shown = (await daemon.show("train")).migratable
        assert not shown.yes
        assert because in shown.because
        with pytest.raises(NotMigratableError) as caught:
            await daemon.service.migrate("train", BEST, ME)
        assert caught.value.because == shown.because
        assert not world.checkpoints.states

    live(world, state, story)


def test_memory_that_the_driver_cannot_checkpoint_is_reported(world, state):
    async def story(daemon):
        world.regions.fixed = 0b1000101  # managed, an array, from another process
        await daemon.run(8)
        await daemon.tick()
        shown = (await daemon.show("train")).migratable
        assert shown.because == "it uses managed memory; it uses another process' memory (IPC)"

    live(world, state, story)


def test_a_machine_with_one_such_gpu_says_so(tmp_path, state):
    alone = make_world(tmp_path / "alone")

    async def story(daemon):
        await daemon.run(8)
        assert "no other GPU" in (await daemon.show("train")).migratable.because
        with pytest.raises(NotMigratableError):
            await daemon.service.migrate("train", BEST, ME)

    live(alone, state, story)
    alone.close()


def test_an_old_driver_is_refused_before_anything_is_touched(world, state):
    async def story(daemon):
        world.checkpoints.old = "that needs driver 580 or newer"
        await daemon.run(8)
        with pytest.raises(NotMigratableError) as caught:
            await daemon.service.migrate("train", BEST, ME)
        assert "580" in caught.value.because

    live(world, state, story)


def test_only_the_owner_moves_a_share(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        with pytest.raises(NotYoursError):
            await daemon.service.migrate(share.id, BEST, STRANGER)

    live(world, state, story)


def test_a_program_that_does_not_stop_in_time_runs_on(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.checkpoints.busy.add(world.spawn(process.pid).pid)
        await daemon.tick()
        with pytest.raises(MoveTimeoutError):
            await daemon.service.migrate("train", BEST, ME)
        assert set(world.checkpoints.states.values()) == {RUNNING}
        assert world.regions.named[share.id] == ("GPU-0",)
        assert (await daemon.show("train")).gpus == ("GPU-0",)
        assert not daemon.store.intents.pending()

    live(world, state, story)


def test_a_driver_that_refuses_the_other_gpu_puts_all_back(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.spawn(process.pid)
        await daemon.tick()
        world.checkpoints.closed.add("GPU-1")
        with pytest.raises(MoveFailedError):
            await daemon.service.migrate("train", BEST, ME)
        assert set(world.checkpoints.states.values()) == {RUNNING}
        assert set(world.checkpoints.at.values()) == {("GPU-0",)}
        assert world.regions.named[share.id] == ("GPU-0",)
        seen = await daemon.show("train")
        assert (seen.state, seen.gpus, seen.suspension) == (State.RUNNING, ("GPU-0",), None)
        assert not daemon.store.intents.pending()

    live(world, state, story)


def test_of_several_programs_one_may_have_to_follow_later(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        child = world.spawn(process.pid)
        await daemon.tick()
        world.checkpoints.stranded.add(child.pid)
        with pytest.raises(MoveFailedError):
            await daemon.service.migrate("train", BEST, ME)
        seen = await daemon.show("train")
        assert (seen.state, seen.gpus) == (State.SUSPENDED, ("GPU-1",))
        with pytest.raises(ConflictError, match="partly back"):
            await daemon.service.migrate("train", ZERO, ME)
        world.checkpoints.stranded.clear()
        await daemon.service.resume("train", BACK, ME)
        assert set(world.checkpoints.at.values()) == {("GPU-1",)}
        assert set(world.checkpoints.states.values()) == {RUNNING}

    live(world, state, story)


def test_what_the_driver_has_off_the_gpu_comes_back_on_the_other(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        await daemon.service.suspend("train", DEEP, ME)
        moved = await daemon.service.migrate("train", ONE, ME)
        assert (moved.state, moved.gpus) == (State.SUSPENDED, ("GPU-1",))
        assert moved.suspension.left == ("GPU-0",)
        assert world.checkpoints.states[process.pid] is AWAY
        assert world.regions.named[share.id] == ("GPU-1",)
        back = await daemon.service.resume("train", BACK, ME)
        assert back.state is State.RUNNING
        assert world.checkpoints.at[process.pid] == ("GPU-1",)

    live(world, state, story)


def test_one_that_moved_while_away_may_return_to_where_it_was(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        await daemon.service.suspend("train", DEEP, ME)
        await daemon.service.migrate("train", ONE, ME)
        world.checkpoints.closed.add("GPU-1")
        with pytest.raises(MoveFailedError):
            await daemon.service.resume("train", BACK, ME)
        await daemon.service.migrate("train", ZERO, ME)
        await daemon.service.resume("train", BACK, ME)
        assert world.checkpoints.at[process.pid] == ("GPU-0",)

    live(world, state, story)


def test_memory_that_the_guard_has_taken_off_waits_for_its_own_gpu(world, state):
    async def story(daemon):
        await daemon.run(8)
        await daemon.service.suspend("train", SuspendRequest(), ME)
        with pytest.raises(NotMigratableError) as caught:
            await daemon.service.migrate("train", BEST, ME)
        assert "resume it first" in caught.value.because

    live(world, state, story)


def die_while_moving(world, state, step, before=None):
    """The daemon dies at this step of the move of a share that may be suspended before."""

    async def story(daemon):
        share, process = await daemon.run(8)
        if before:
            await daemon.service.suspend("train", before, ME)
        with pytest.raises(Crash):
            await daemon.service.migrate("train", BEST, ME)
        return share.id, process

    return live(world, state, story, crash_at(f"migrate {step}"))


STEPS = ("written", "left", "prepared", "placed", "acted", "confirmed")


@pytest.mark.parametrize("step", STEPS)
def test_a_daemon_that_dies_in_between_leaves_it_here_or_there(world, state, step):
    share, process = die_while_moving(world, state, step)

    async def after(daemon):
        there = STEPS.index(step) >= STEPS.index("placed")
        gpu = "GPU-1" if there else "GPU-0"
        seen = await daemon.show(share)
        assert (seen.state, seen.gpus, seen.suspension) == (State.RUNNING, (gpu,), None)
        assert world.regions.named[share] == (gpu,)
        assert world.checkpoints.at.get(process.pid, (gpu,)) == (gpu,)
        assert world.checkpoints.states.get(process.pid, RUNNING) is RUNNING
        assert not daemon.store.intents.pending()

    live(world, state, after)


@pytest.mark.parametrize("step", ["written", "prepared", "confirmed"])
def test_a_daemon_that_dies_while_a_suspended_share_moves_keeps_it_suspended(world, state, step):
    share, process = die_while_moving(world, state, step, DEEP)

    async def after(daemon):
        gpu = "GPU-1" if step == "confirmed" else "GPU-0"
        seen = await daemon.show(share)
        assert (seen.state, seen.gpus) == (State.SUSPENDED, (gpu,))
        assert world.regions.named[share] == (gpu,)
        await daemon.service.resume(share, BACK, ME)
        assert world.checkpoints.at[process.pid] == (gpu,)

    live(world, state, after)


def test_a_return_that_the_driver_refuses_after_a_crash_leaves_it_suspended(world, state):
    share, process = die_while_moving(world, state, "placed")
    world.checkpoints.closed.add("GPU-1")

    async def after(daemon):
        assert await daemon.state(share) == State.SUSPENDED
        assert not daemon.store.intents.pending()
        await daemon.service.migrate(share, ZERO, ME)
        await daemon.service.resume(share, BACK, ME)
        assert world.checkpoints.at[process.pid] == ("GPU-0",)
        assert world.checkpoints.states[process.pid] is RUNNING

    live(world, state, after)


def test_one_that_ends_in_between_leaves_nothing_there(world, state):
    _, process = die_while_moving(world, state, "prepared")
    world.end(process)

    async def after(daemon):
        await daemon.tick()
        assert not world.made
        assert not daemon.store.intents.pending()

    live(world, state, after)
