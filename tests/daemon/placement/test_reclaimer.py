# SPDX-License-Identifier: Apache-2.0
"""Borrowed room goes back to who is guaranteed it, by the gentlest step, and comes back later."""

import signal

import pytest
from msgspec.structs import replace

from gpushare.guard import Failure
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount, Policy, Rung, TenantSpec
from gpushare.model.share import Cause, State
from gpushare.model.spec import ComputeAsk
from gpushare.model.units import GIB, Bytes, Percent, Seconds
from support.world.session import live
from support.world.world import UID, make_world

RESEARCH, BATCH = Tenant("research"), Tenant("batch")


def policy(memory: int = 60, compute: int | None = None, **rules) -> Policy:
    owed = Amount(memory=Bytes(memory * GIB), compute=None if compute is None else Percent(compute))
    return Policy(
        tenants={RESEARCH: TenantSpec(guaranteed=owed), BATCH: TenantSpec()},
        min_runtime=Seconds(60),
        **rules,
    )


def govern(daemon, rules: Policy) -> None:
    daemon.store.policy.put(rules, "root", daemon.world.clock.now())


async def lend(daemon, rules: Policy) -> None:
    """`train` has borrowed 60 GiB for longer than the least runtime."""
    govern(daemon, rules)
    await daemon.run(60, name="train", tenant=BATCH)
    await daemon.tick(120)


def kinds(daemon) -> list[str]:
    return [event.type for event in daemon.store.events.since(0)]


def test_who_has_borrowed_is_suspended_and_comes_back(world, state):
    async def story(daemon):
        await lend(daemon, policy())
        _, evaluation = await daemon.run(60, name="eval", tenant=RESEARCH)
        train = await daemon.show("train")
        assert await daemon.state("eval") == State.RUNNING
        assert (train.state, train.suspension.cause) == (State.SUSPENDED, Cause.RECLAIM)
        assert "share.reclaimed.suspend" in kinds(daemon)
        await daemon.tick(120)
        assert await daemon.state("train") == State.SUSPENDED
        world.end(evaluation)
        await daemon.tick()
        await daemon.tick()
        assert await daemon.state("train") == State.RUNNING

    live(world, state, story)


def test_what_is_within_a_guarantee_stays(world, state):
    async def story(daemon):
        govern(daemon, policy())
        await daemon.run(60, name="train", tenant=RESEARCH)
        await daemon.tick(120)
        waits = await daemon.create(60, name="more", tenant=BATCH)
        assert waits.state is State.QUEUED
        assert await daemon.state("train") == State.RUNNING

    live(world, state, story)


def test_no_share_gives_back_before_the_least_runtime(world, state):
    async def story(daemon):
        govern(daemon, policy())
        await daemon.run(60, name="train", tenant=BATCH)
        await daemon.create(60, name="eval", tenant=RESEARCH)
        assert await daemon.state("train") == State.RUNNING
        await daemon.tick(61)
        assert await daemon.state("train") == State.SUSPENDED
        assert await daemon.state("eval") == State.GRANTED

    live(world, state, story)


def test_one_that_was_not_observed_yet_is_not_ended_for_that(world, state):
    async def story(daemon):
        rules = policy()
        govern(daemon, replace(rules, min_runtime=Seconds(0)))
        await daemon.run(60, name="train", tenant=BATCH)
        await daemon.create(60, name="eval", tenant=RESEARCH)
        assert world.signals == []
        assert await daemon.state("train") == State.SUSPENDED
        assert await daemon.state("eval") == State.GRANTED

    live(world, state, story)


def test_what_cannot_be_suspended_is_ended_one_at_a_time(world, state):
    async def story(daemon):
        govern(daemon, policy(30))
        world.regions.fixed = 1
        world.checkpoints.old = "an old driver"
        _, first = await daemon.run(40, name="first", tenant=BATCH)
        await daemon.tick(30)
        _, second = await daemon.run(40, name="second", tenant=BATCH)
        await daemon.tick(120)
        await daemon.create(30, name="eval", tenant=RESEARCH)
        await daemon.tick(1)
        assert world.signals == [(second.pid, signal.SIGTERM)]
        world.end(second)
        await daemon.tick()
        await daemon.tick()
        assert await daemon.state("eval") == State.GRANTED
        assert await daemon.state("first") == State.RUNNING
        assert "has borrowed" in (await daemon.show("second")).reason
        assert first.pid in world.living()

    live(world, state, story)


def test_one_that_refuses_to_go_is_not_asked_again_at_once(world, state):
    async def story(daemon):
        await lend(daemon, policy(ladder=(Rung.SUSPEND,)))
        world.regions.failure = Failure.HOST_MEMORY
        await daemon.create(60, name="eval", tenant=RESEARCH)
        halts = world.regions.halts.copy()
        await daemon.tick(2)
        assert world.regions.halts == halts
        world.regions.failure = Failure.NONE
        await daemon.tick(61)
        assert await daemon.state("train") == State.SUSPENDED

    live(world, state, story)


def test_a_share_moves_to_another_gpu_where_it_must_not_be_suspended(tmp_path):
    async def story(daemon):
        govern(daemon, policy(ladder=(Rung.MIGRATE, Rung.EVICT)))
        await daemon.run(60, name="train", tenant=BATCH, gpu=("0",))
        train = daemon.store.shares.named(UID, "train")
        daemon.store.shares.update(train.id, spec=_anywhere(train.spec))
        await daemon.tick(120)
        await daemon.create(60, name="eval", tenant=RESEARCH, gpu=("0",))
        assert (await daemon.show("train")).gpus == ("GPU-1",)
        assert await daemon.state("train") == State.RUNNING
        assert (await daemon.show("eval")).gpus == ("GPU-0",)

    world = make_world(tmp_path / "world", gpus=2)
    try:
        live(world, tmp_path / "state", story)
    finally:
        world.close()


def _anywhere(spec):
    return replace(spec, gpu=())


def test_compute_is_lent_and_taken_back(world, state):
    async def story(daemon):
        govern(daemon, policy(10, compute=50))
        await daemon.run(8, name="train", tenant=BATCH, compute=80)
        await daemon.tick(120)
        _, evaluation = await daemon.run(8, name="eval", tenant=RESEARCH, compute=50)
        assert await daemon.state("eval") == State.RUNNING
        train = daemon.store.shares.named(UID, "train")
        assert train.decision.grants[0].compute_request == 50
        assert train.decision.grants[0].compute == 80
        world.end(evaluation)
        await daemon.tick()
        await daemon.tick()
        train = daemon.store.shares.named(UID, "train")
        assert train.decision.grants[0].compute_request == 80
        assert train.spec.compute == ComputeAsk(limit=Percent(80))

    live(world, state, story)


@pytest.mark.parametrize("rung", [Rung.THROTTLE, Rung.MIGRATE])
def test_a_ladder_without_the_step_that_is_needed_takes_nothing(world, state, rung):
    async def story(daemon):
        await lend(daemon, policy(ladder=(rung,)))
        waits = await daemon.create(60, name="eval", tenant=RESEARCH)
        assert waits.state is State.QUEUED
        assert await daemon.state("train") == State.RUNNING

    live(world, state, story)


def test_who_was_put_aside_and_is_guaranteed_now_has_others_give_back(world, state):
    async def story(daemon):
        await lend(daemon, policy(60))
        _, evaluation = await daemon.run(60, name="eval", tenant=RESEARCH)
        await daemon.tick(120)
        assert await daemon.state("train") == State.SUSPENDED
        owed = Amount(memory=Bytes(60 * GIB))
        govern(daemon, Policy(tenants={BATCH: TenantSpec(guaranteed=owed), RESEARCH: TenantSpec()}))
        await daemon.tick(120)
        await daemon.tick()
        assert await daemon.state("train") == State.RUNNING
        assert await daemon.state("eval") == State.SUSPENDED
        assert evaluation.pid in world.living()

    live(world, state, story)


def test_one_that_fails_to_come_back_does_not_keep_the_others_away(world, state):
    async def story(daemon):
        govern(daemon, policy(70))
        await daemon.run(30, name="first", tenant=BATCH)
        await daemon.run(30, name="second", tenant=BATCH)
        await daemon.tick(120)
        _, evaluation = await daemon.run(70, name="eval", tenant=RESEARCH)
        assert await daemon.state("first") == await daemon.state("second") == State.SUSPENDED
        world.end(evaluation)
        world.regions.full = True
        await daemon.tick()
        assert await daemon.state("first") == State.SUSPENDED
        world.regions.full = False
        await daemon.tick()
        assert await daemon.state("second") == State.RUNNING
        await daemon.tick(61)
        assert await daemon.state("first") == State.RUNNING

    live(world, state, story)
