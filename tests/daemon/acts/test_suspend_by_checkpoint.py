# SPDX-License-Identifier: Apache-2.0
"""By the driver's checkpoint, and what a daemon that dies in between leaves behind."""

import pytest

from gpushare.hardware.ports import CheckpointState
from gpushare.model.errors import NotSuspendableError
from gpushare.model.share import State, Tier
from gpushare.model.view import ResumeRequest, SuspendRequest
from support.world.session import ME, live
from support.world.world import Crash, crash_at

PLAIN, DEEP, BACK = SuspendRequest(), SuspendRequest(deep=True), ResumeRequest()


def test_the_driver_takes_contexts_away_too(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        child = world.spawn(process.pid)
        world.checkpoints.plain.add(child.pid)
        away = await daemon.service.suspend("train", DEEP, ME)
        assert away.suspension.tier is Tier.CHECKPOINT
        assert world.checkpoints.states == {process.pid: CheckpointState.CHECKPOINTED}
        assert not world.regions.away(share.id)
        back = await daemon.service.resume("train", BACK, ME)
        assert back.state is State.RUNNING
        assert world.checkpoints.states == {process.pid: CheckpointState.RUNNING}
        assert Tier.CHECKPOINT in back.moved

    live(world, state, story)


def test_deep_leaves_nothing_half_done_when_one_process_cannot(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        child = world.spawn(process.pid)
        await daemon.tick()
        world.checkpoints.managed.add(child.pid)
        with pytest.raises(NotSuspendableError):
            await daemon.service.suspend("train", DEEP, ME)
        assert set(world.checkpoints.states.values()) == {CheckpointState.RUNNING}
        assert await daemon.state("train") == State.RUNNING

    live(world, state, story)


def test_deep_is_refused_under_mps_with_the_reason(world, state):
    async def story(daemon):
        await daemon.run(8, compute=50)
        with pytest.raises(NotSuspendableError, match="checkpointed") as caught:
            await daemon.service.suspend("train", DEEP, ME)
        assert "MPS" in caught.value.because
        assert (await daemon.service.suspend("train", PLAIN, ME)).state is State.SUSPENDED

    live(world, state, story)


STEPS = ("written", "acted", "confirmed")


@pytest.mark.parametrize("request_", [PLAIN, DEEP], ids=["memory", "deep"])
@pytest.mark.parametrize("step", STEPS)
def test_a_daemon_that_dies_while_a_share_leaves_undoes_it(world, state, step, request_):
    async def before(daemon):
        share, process = await daemon.run(8)
        with pytest.raises(Crash):
            await daemon.service.suspend("train", request_, ME)
        return share.id, process.pid

    share, pid = live(world, state, before, crash_at(f"suspend {step}"))

    async def after(daemon):
        gone = step == "confirmed"
        assert await daemon.state(share) == (State.SUSPENDED if gone else State.RUNNING)
        away = world.regions.away(share) or (
            world.checkpoints.states.get(pid) is CheckpointState.CHECKPOINTED
        )
        assert away == gone
        assert not daemon.store.intents.pending()

    live(world, state, after)


@pytest.mark.parametrize("request_", [PLAIN, DEEP], ids=["memory", "deep"])
@pytest.mark.parametrize("step", STEPS)
def test_a_daemon_that_dies_while_a_share_comes_back_finishes_it(world, state, step, request_):
    async def before(daemon):
        share, process = await daemon.run(8)
        await daemon.service.suspend("train", request_, ME)
        with pytest.raises(Crash):
            await daemon.service.resume("train", BACK, ME)
        return share.id, process.pid

    share, pid = live(world, state, before, crash_at(f"resume {step}"))

    async def after(daemon):
        assert await daemon.state(share) == State.RUNNING
        assert not world.regions.away(share)
        assert world.checkpoints.states.get(pid) is not CheckpointState.CHECKPOINTED
        assert not daemon.store.intents.pending()

    live(world, state, after)
