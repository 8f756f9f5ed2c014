# SPDX-License-Identifier: Apache-2.0
"""Where the choice of a mechanism is left to gpushare, the share gets one that works now."""

from datetime import UTC, datetime

import pytest

from gpushare.model.errors import MpsError, NotEnforcedError
from gpushare.model.ids import GpuId
from gpushare.model.share import Finding, Level, State, Verification
from gpushare.model.spec import ComputeAsk, Gang, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import CreateRequest
from support.world.session import ME, STRANGER, live
from support.world.world import Crash, crash_at

MPS, TIMESLICE = MechanismName.MPS, MechanismName.TIMESLICE
DEAD = MpsError("the MPS control daemon ended as it started", "no shared memory")
BROKEN = Verification(
    at=datetime(2026, 11, 23, tzinfo=UTC),
    ok=False,
    findings=(
        Finding(
            dimension="compute",
            promised=Level.COOPERATIVE,
            delivered=Level.NONE,
            evidence="got all",
        ),
    ),
)


def asked(**changes) -> ShareSpec:
    return ShareSpec(
        memory=MemoryAsk(limit=4 * GIB), compute=ComputeAsk(limit=30), name="other", **changes
    )


async def create(daemon, spec, *, wait=True):
    share = await daemon.service.create(CreateRequest(spec=spec, wait=wait), STRANGER)
    await daemon.settled()
    return await daemon.service.show(share.id, STRANGER)


@pytest.mark.parametrize("wait", [True, False])
def test_a_compute_limit_starts_next_to_another_users_mps(world, state, wait):
    async def story(daemon):
        assert (await daemon.create(8, compute=30)).mechanism[0] is MPS
        planned = await daemon.service.plan(asked(), STRANGER)
        assert planned.decision is not None
        assert planned.decision.mechanisms[0] is TIMESLICE
        share = await create(daemon, asked(), wait=wait)
        assert (share.state, share.mechanism[0]) == (State.GRANTED, TIMESLICE)

    live(world, state, story)


def test_an_explicit_choice_waits_and_says_why(world, state):
    async def story(daemon):
        await daemon.create(8, compute=30)
        share = await create(daemon, asked(mechanism=MPS))
        assert share.state is State.QUEUED
        assert "mps serves another user" in share.queue.waits_for
        assert "without --mechanism it could start now" in share.queue.waits_for

    live(world, state, story)


def test_a_gpu_whose_mps_takes_no_one_is_shared_by_turns(world, state):
    world.unready = {(MPS, GpuId("GPU-0")): "its server is in FAULT"}

    async def story(daemon):
        assert (await daemon.create(8, compute=30)).mechanism[0] is TIMESLICE

    live(world, state, story)


def test_a_mechanism_that_cannot_start_is_replaced_and_leaves_nothing(world, state):
    world.refusing = {MPS: DEAD}

    async def story(daemon):
        share = await daemon.create(8, compute=30)
        assert (share.state, share.mechanism) == (
            State.GRANTED,
            (TIMESLICE, MechanismName.GUARD),
        )
        assert any("no shared memory" in why for why in share.why), share.why
        assert not {name for name, _ in world.made} - {TIMESLICE, MechanismName.GUARD}
        assert not daemon.store.intents.pending()
        replayed = await daemon.service.decision(share.id, ME)
        assert replayed.same, replayed.again

    live(world, state, story)


def test_a_mechanism_that_does_not_hold_its_promise_is_replaced(world, state):
    world.broken_stacks = {MPS: BROKEN}

    async def story(daemon):
        assert (await daemon.create(8, compute=30)).mechanism[0] is TIMESLICE

    live(world, state, story)


@pytest.mark.parametrize(("refusing", "error"), [({MPS: DEAD}, MpsError), ({}, NotEnforcedError)])
def test_a_mechanism_that_was_named_is_not_replaced(world, state, refusing, error):
    world.refusing, world.broken_stacks = refusing, {MPS: BROKEN}

    async def story(daemon):
        with pytest.raises(error):
            await daemon.create(8, compute=30, mechanism=MPS)

    live(world, state, story)


def test_when_no_mechanism_works_the_share_fails_with_the_last_reason(world, state):
    world.refusing = {MPS: DEAD, MechanismName.GUARD: MpsError("no guard")}

    async def story(daemon):
        with pytest.raises(MpsError, match="no guard"):
            await daemon.create(8, compute=30)
        assert not world.made
        assert not daemon.store.intents.pending()

    live(world, state, story)


def test_one_share_of_a_gang_may_need_another_mechanism(world, state):
    world.refusing = {MPS: DEAD}

    async def story(daemon):
        first = await daemon.create(8, compute=30, gang=Gang("pair", 2))
        second = await daemon.create(8, gang=Gang("pair", 2))
        assert {await daemon.state(one.id) for one in (first, second)} == {State.GRANTED}

    live(world, state, story)


@pytest.mark.parametrize("at", ["grant written", "grant acted", "undo acted"])
def test_a_daemon_that_dies_in_between_leaves_one_grant_to_undo(world, state, at):
    world.refusing = {MPS: DEAD}

    async def story(daemon):
        await daemon.create(8, compute=30)

    with pytest.raises(Crash):
        live(world, state, story, crash_at(at))

    async def later(daemon):
        await daemon.tick()
        assert not daemon.store.intents.pending()
        assert {one.state for one in await daemon.service.shares(ME)} <= {State.GRANTED}

    live(world, state, later)
