# SPDX-License-Identifier: Apache-2.0
"""Gangs, reservations and limits of tenants, as the daemon keeps them."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from gpushare.model.errors import BadSpecError, MpsStuckError, NoCapacityError, QuotaError
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.share import State
from gpushare.model.spec import Gang, ShareSpec
from gpushare.model.units import GIB, Bytes, Seconds
from support.world.session import ME, live
from support.world.world import Crash

from .test_crash import Fuse

PAIR = Gang(name="pair", size=2)
HOUR = Seconds(3600)


def test_a_gang_is_granted_all_at_once(world, state):
    async def story(daemon):
        _, first = await daemon.run(60, name="first")
        one = await daemon.create(30, name="one", gang=PAIR)
        assert "1 more of gang pair" in one.queue.waits_for
        other = await daemon.create(30, name="other", gang=PAIR)
        assert other.state is State.QUEUED
        assert await daemon.state("one") == State.QUEUED
        world.end(first)
        await daemon.tick()
        assert await daemon.state("one") == await daemon.state("other") == State.GRANTED
        assert (await daemon.service.decision("one", ME)).same
        assert (await daemon.service.decision("other", ME)).same

    live(world, state, story)


def test_a_gang_of_which_one_cannot_be_made_real_is_not_granted(world, state):
    async def story(daemon):
        await daemon.create(8, name="one", gang=PAIR)
        left = [2]

        def third_time() -> None:
            left[0] -= 1
            if left[0] < 0:
                raise MpsStuckError("the MPS control daemon does not answer", "it is stuck")

        world.trouble = third_time
        with pytest.raises(MpsStuckError):
            await daemon.create(8, name="other", gang=PAIR)
        world.trouble = lambda: None
        await daemon.tick()
        one = await daemon.show("one")
        assert one.state is State.FAILED
        assert "another share of its gang" in one.reason
        assert world.made == set()

    live(world, state, story)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("at", ["grant written", "grant acted", "grant confirmed"])
def test_a_daemon_that_is_killed_leaves_no_part_of_a_gang(world, state, at, count):
    async def begin(daemon):
        await daemon.create(8, name="one", gang=PAIR)
        with contextlib.suppress(Crash):
            await daemon.create(8, name="other", gang=PAIR)

    async def go_on(daemon):
        states = {await daemon.state("one"), await daemon.state("other")}
        assert len(states) == 1
        await daemon.tick()
        await daemon.tick()
        assert await daemon.state("one") == await daemon.state("other") == State.GRANTED

    live(world, state, begin, Fuse(at, count))
    live(world, state, go_on)


def test_a_reservation_has_its_place_at_its_time(world, state):
    async def story(daemon):
        at = world.clock.now() + timedelta(hours=1)
        booked = await daemon.create(60, name="demo", at=at, ttl=HOUR)
        assert booked.state is State.QUEUED
        assert booked.queue.eta == at
        waits = await daemon.create(60, name="endless")
        assert waits.state is State.QUEUED
        assert "kept free" in waits.queue.waits_for
        short = await daemon.create(60, name="short", ttl=Seconds(1800))
        assert short.state is State.GRANTED
        await daemon.tick(1801)
        assert await daemon.state("short") == State.RELEASED
        await daemon.tick(1800)
        demo = await daemon.show("demo")
        assert demo.state is State.GRANTED
        assert demo.expires == at + timedelta(hours=1)
        await daemon.tick(HOUR)
        await daemon.tick()
        assert await daemon.state("endless") == State.GRANTED

    live(world, state, story)


def test_a_reservation_that_cannot_be_kept_is_refused_at_once(world, state):
    async def story(daemon):
        at = world.clock.now() + timedelta(hours=1)
        await daemon.create(60, name="forever")
        with pytest.raises(NoCapacityError):
            await daemon.create(60, name="demo", at=at, ttl=HOUR)
        assert await daemon.service.shares(ME) == (await daemon.show("forever"),)

    live(world, state, story)


@pytest.mark.parametrize("away", [timedelta(days=-1), timedelta(minutes=-2)])
def test_a_time_that_is_over_is_refused(world, state, away):
    async def story(daemon):
        at = world.clock.now() + away
        with pytest.raises(BadSpecError) as caught:
            await daemon.create(8, name="demo", at=at, ttl=HOUR)
        assert "past" in caught.value.what
        with pytest.raises(BadSpecError):
            await daemon.service.plan(ShareSpec(at=at, ttl=HOUR), ME)
        assert not await daemon.service.shares(ME)

    live(world, state, story)


def test_a_time_that_has_just_come_is_now(world, state):
    async def story(daemon):
        at = world.clock.now() - timedelta(seconds=5)
        assert (await daemon.create(8, name="demo", at=at, ttl=HOUR)).state is State.GRANTED

    live(world, state, story)


def test_a_time_that_no_calendar_holds_is_refused():
    with pytest.raises(BadSpecError):
        ShareSpec(at=datetime(9999, 12, 31, 23, 59, tzinfo=UTC), ttl=HOUR)


def test_a_reservation_outlives_the_daemon(world, state):
    at = world.clock.now() + timedelta(hours=1)

    async def book(daemon):
        await daemon.create(60, name="demo", at=at, ttl=HOUR)

    async def begin(daemon):
        await daemon.tick(3601)
        assert await daemon.state("demo") == State.GRANTED

    live(world, state, book)
    live(world, state, begin)


def test_the_loop_wakes_when_a_reservation_begins(world, state):
    async def story(daemon):
        at = world.clock.now() + timedelta(seconds=3)
        await daemon.create(60, name="demo", at=at, ttl=HOUR)
        assert daemon.parts.placement.begins() == at

    live(world, state, story)


def govern(daemon, **spec) -> None:
    rules = Policy(tenants={Tenant("lab"): TenantSpec(**spec)})
    daemon.store.policy.put(rules, "root", daemon.world.clock.now())


async def create_two(daemon, gib: int) -> None:
    for name in ("first", "second"):
        await daemon.create(gib, name=name, tenant=Tenant("lab"))


def test_above_its_limit_a_tenant_gets_nothing_at_all(world, state):
    async def story(daemon):
        govern(daemon, limit=Amount(memory=Bytes(10 * GIB)))
        with pytest.raises(QuotaError):
            await daemon.create(20, name="big", tenant=Tenant("lab"))
        assert await daemon.service.shares(ME) == ()

    live(world, state, story)


def test_a_share_that_waits_for_its_own_limit_blocks_no_other(world, state):
    async def story(daemon):
        govern(daemon, limit=Amount(memory=Bytes(10 * GIB)))
        _, first = await daemon.run(10, name="first", tenant=Tenant("lab"))
        second = await daemon.create(10, name="second", tenant=Tenant("lab"))
        assert second.state is State.QUEUED
        assert "lab" in second.queue.waits_for
        assert (await daemon.create(60, name="third")).state is State.GRANTED
        world.end(first)
        await daemon.tick()
        assert await daemon.state("second") == State.GRANTED

    live(world, state, story)


def test_so_many_shares_and_no_more(world, state):
    async def story(daemon):
        govern(daemon, shares=1)
        await daemon.create(8, name="first", tenant=Tenant("lab"))
        with pytest.raises(QuotaError):
            await daemon.create(8, name="second", tenant=Tenant("lab"))

    live(world, state, story)


def test_without_waiting_others_give_back_or_it_is_refused(world, state):
    async def story(daemon):
        govern(daemon, guaranteed=Amount(memory=Bytes(60 * GIB)))
        await daemon.run(60, name="train")
        await daemon.tick(120)
        found = await daemon.create(60, name="eval", tenant=Tenant("lab"), wait=False)
        assert found.state is State.GRANTED
        await daemon.service.remove("eval", ME)
        await daemon.tick()
        await daemon.tick(120)
        world.regions.fixed = 1
        world.checkpoints.old = "an old driver"
        with pytest.raises(NoCapacityError):
            await daemon.create(60, name="again", tenant=Tenant("lab"), wait=False)

    live(world, state, story)


def test_the_place_in_the_queue_and_what_is_borrowed_is_shown(world, state):
    async def story(daemon):
        govern(daemon, guaranteed=Amount(memory=Bytes(10 * GIB)))
        await create_two(daemon, 60)
        assert (await daemon.show("first")).borrowed is True
        assert (await daemon.show("second")).why

    live(world, state, story)


def test_a_new_policy_is_there_at_once_for_those_who_wait(world, state):
    async def story(daemon):
        govern(daemon, limit=Amount(memory=Bytes(10 * GIB)))
        await create_two(daemon, 10)
        assert await daemon.state("second") == State.QUEUED
        await daemon.service.rules.put(Policy(tenants={Tenant("lab"): TenantSpec()}), ME)
        assert await daemon.state("second") == State.GRANTED

    live(world, state, story)
