# SPDX-License-Identifier: Apache-2.0
"""Idle shares: noticed, reported, lowered, suspended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.daemon.policies.idle import ActivitySample, due_act, was_active
from gpushare.guard import SharePolicy, ShareSlot
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import IdleAct, IdlePolicy, Policy
from gpushare.model.share import Cause, State
from gpushare.model.spec import Priority
from gpushare.model.units import Seconds
from gpushare.model.view import ResumeRequest, UpdateRequest
from support.shares import share
from support.world.session import ME, live
from support.world.world import Crash, crash_at

GPU = GpuId("GPU-0")


def counted(launches: int, **more) -> Observation:
    """What a guard has counted."""
    slot = ShareSlot(number=0, policy=SharePolicy(share="x"), launches=launches, **more)
    return Observation(share_slots={GPU: slot})


def rule(daemon, act: IdleAct, after: int = 600) -> None:
    policy = Policy(idle=IdlePolicy(after=Seconds(after), act=act))
    daemon.store.policy.put(policy, "root", daemon.world.clock.now())


async def run_and_idle(daemon, act: IdleAct, number: int = 8, **wish) -> None:
    """A program launches nothing more, and the daemon looks so many times."""
    rule(daemon, act)
    await daemon.run(8, **wish)
    daemon.world.counted["train"] = counted(7)
    await daemon.tick(100, times=number)


def messages(daemon, kind: str = "share.idle") -> list[str]:
    return [event.message for event in daemon.store.events.since(0) if event.type == kind]


samples = st.builds(
    ActivitySample,
    handed=st.none() | st.integers(0, 3),
    waiting=st.booleans(),
    busy=st.none() | st.booleans(),
)


@given(samples, samples)
def test_quiet_is_known_only_where_something_measures(before, now):
    found = was_active(before, now)
    if found is False:
        assert now.handed == before.handed
        assert not now.waiting
        assert not now.busy
        assert now.handed is not None or now.busy is not None
    if now.busy or now.waiting:
        assert found is True


@given(st.floats(0, 10_000), st.booleans(), st.booleans(), st.sampled_from(IdleAct))
def test_nothing_is_due_too_early_twice_or_without_a_policy(quiet, programs, told, act):
    one = share()
    policy = IdlePolicy(after=Seconds(600), act=act)
    found = due_act(policy, one, quiet, programs=programs, reported=told)
    assert due_act(IdlePolicy(act=act), one, quiet, programs=programs, reported=told) is None
    assert (found is not None) == (quiet >= 600 and not told)
    if found and not programs:
        assert found is IdleAct.NOTIFY


def test_a_quiet_program_is_reported_once_and_shown(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.NOTIFY)
        share, _ = await daemon.run(8)
        world.counted["train"] = counted(7)
        await daemon.tick(100, times=8)
        (said,) = messages(daemon)
        assert said == "idle for 10 min: its programs gave the GPU nothing to do"
        shown = await daemon.show(share.id)
        assert (world.clock.now() - shown.idle_since).total_seconds() == 700
        assert shown.state is State.RUNNING

    live(world, state, story)


def test_who_launches_waits_or_is_seen_by_nvml_is_not_idle(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        _, process = await daemon.run(8)
        for number in range(10):
            world.counted["train"] = counted(number)
            await daemon.tick(100)
        for _ in range(10):
            world.counted["train"] = counted(9, waiting=1)
            await daemon.tick(100)
        world.counted["train"] = counted(9)
        world.busy = frozenset({process.pid})
        await daemon.tick(100, times=10)
        assert not messages(daemon)
        assert (await daemon.show("train")).idle_since is None

    live(world, state, story)


def test_where_nothing_measures_no_share_is_idle(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        await daemon.run(8)
        await daemon.tick(100, times=10)
        assert not messages(daemon)

    live(world, state, story)


def test_without_a_guard_nvml_says_who_is_idle(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.NOTIFY)
        world.busy = frozenset()
        await daemon.run(None)
        await daemon.tick(100, times=8)
        assert messages(daemon) == ["idle for 10 min: NVML saw none of its programs use the GPU"]

    live(world, state, story)


def test_off_unless_switched_on(world, state):
    async def story(daemon):
        await daemon.run(8)
        world.counted["train"] = counted(7)
        await daemon.tick(100, times=30)
        assert not messages(daemon)
        assert (await daemon.show("train")).idle_since is not None

    live(world, state, story)


def test_a_lowered_share_has_its_priority_back_when_it_works(world, state):
    async def story(daemon):
        await run_and_idle(daemon, IdleAct.LOWER, priority=Priority.HIGH)
        low = await daemon.show("train")
        assert low.priority is Priority.LOW
        assert low.asked.priority is Priority.HIGH
        assert messages(daemon)[0].endswith("its priority is low until it is active again")
        world.counted["train"] = counted(8)
        await daemon.tick(5)
        back = await daemon.show("train")
        assert (back.priority, back.asked) == (Priority.HIGH, None)
        assert messages(daemon, "share.active") == [
            "it is active again; its priority is high again"
        ]

    live(world, state, story)


def test_another_daemon_gives_the_priority_back(world, state):
    async def before(daemon):
        await run_and_idle(daemon, IdleAct.LOWER)
        assert (await daemon.show("train")).priority is Priority.LOW

    live(world, state, before)

    async def after(daemon):
        world.counted["train"] = counted(8)
        await daemon.tick(5)
        assert (await daemon.show("train")).priority is Priority.NORMAL

    live(world, state, after)


@pytest.mark.parametrize("step", ["adjust written", "adjust acted", "adjust confirmed"])
def test_a_daemon_that_dies_as_it_lowers_a_share_leaves_the_record_true(world, state, step):
    async def before(daemon):
        await run_and_idle(daemon, IdleAct.LOWER, 6)
        with pytest.raises(Crash):
            await daemon.tick(100)

    live(world, state, before, crash_at(step))

    async def after(daemon):
        shown = await daemon.show("train")
        low = step == "adjust confirmed"
        assert shown.priority is (Priority.LOW if low else Priority.NORMAL)
        assert (shown.asked is not None) == low
        assert not daemon.store.intents.pending()

    live(world, state, after)


def test_what_the_owner_asks_meanwhile_stays(world, state):
    async def story(daemon):
        await run_and_idle(daemon, IdleAct.LOWER)
        await daemon.service.update("train", UpdateRequest(priority=Priority.LOW), ME)
        assert (await daemon.show("train")).asked is None
        world.counted["train"] = counted(8)
        await daemon.tick(5)
        assert (await daemon.show("train")).priority is Priority.LOW

    live(world, state, story)


def test_a_suspended_share_waits_until_a_user_resumes_it(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        share, _ = await daemon.run(60)
        world.counted["train"] = counted(7)
        await daemon.tick(100, times=8)
        away = await daemon.show(share.id)
        assert (away.state, away.suspension.cause) == (State.SUSPENDED, Cause.IDLE)
        assert "gpushare resume train" in away.reason
        other, _ = await daemon.run(60, name="other")
        assert other.state is State.RUNNING, "its room is for others meanwhile"
        await daemon.tick(100, times=3)
        assert await daemon.state(share.id) == State.SUSPENDED

    live(world, state, story)


def test_who_resumes_it_has_the_whole_time_again(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        await daemon.run(8)
        world.counted["train"] = counted(7)
        while await daemon.state("train") != State.SUSPENDED:
            await daemon.tick(100)
        await daemon.service.resume("train", ResumeRequest(), ME)
        await daemon.tick(100)
        assert await daemon.state("train") == State.RUNNING
        await daemon.tick(100, times=8)
        assert await daemon.state("train") == State.SUSPENDED

    live(world, state, story)


def test_what_cannot_be_done_is_reported_once(world, state):
    world.regions.fixed = 0b1

    async def story(daemon):
        await run_and_idle(daemon, IdleAct.SUSPEND, 20)
        (said,) = messages(daemon)
        assert "it stays on the GPU" in said
        assert "managed memory" in said
        assert await daemon.state("train") == State.RUNNING

    live(world, state, story)


def test_a_held_share_without_programs_is_only_reported(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        await daemon.create(8, name="desk")
        await daemon.tick(100, times=8)
        assert messages(daemon) == ["it has no program, for 10 min"]
        assert await daemon.state("desk") == State.GRANTED

    live(world, state, story)


def test_every_idle_share_is_suspended_in_the_pass_that_finds_it_idle(world, state):
    async def story(daemon):
        rule(daemon, IdleAct.SUSPEND)
        for name in ("a", "b"):
            await daemon.run(8, name=name)
            world.counted[name] = counted(7)
        await daemon.tick(100, times=7)
        assert [await daemon.state(name) for name in "ab"] == [State.SUSPENDED] * 2

    live(world, state, story)
