# SPDX-License-Identifier: Apache-2.0
"""A change is checked as a new share is: every way to have more meets the same rules."""

from datetime import datetime, timedelta

import pytest

from gpushare.model.errors import NoCapacityError, QuotaError
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.share import State
from gpushare.model.spec import ComputeAsk, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent, Seconds
from gpushare.model.view import CreateRequest, UpdateRequest
from support.world.session import ME, live

HOUR = Seconds(3600)
# One change for each field of UpdateRequest: what gives the share more, and what does not.
MORE = {
    "memory": UpdateRequest(memory=MemoryAsk(limit=Bytes(60 * GIB))),
    "compute": UpdateRequest(compute=ComputeAsk(request=Percent(80))),
    "ttl": UpdateRequest(ttl=Seconds(3 * HOUR)),
}
NO_MORE = {
    "memory": UpdateRequest(memory=MemoryAsk(limit=Bytes(10 * GIB))),
    "compute": UpdateRequest(compute=ComputeAsk(request=Percent(10))),
    "ttl": UpdateRequest(ttl=Seconds(60)),
    "priority": UpdateRequest(priority=Priority.HIGH),
}


async def create(daemon, name: str, gib: int, percent: int, **shape) -> None:
    memory = MemoryAsk(limit=Bytes(gib * GIB))
    compute = ComputeAsk(request=Percent(percent))
    spec = ShareSpec(name=name, memory=memory, compute=compute, **shape)
    await daemon.service.create(CreateRequest(spec=spec), ME)


def in_an_hour(daemon) -> datetime:
    return daemon.world.clock.now() + timedelta(hours=1)


def govern(daemon, **limit) -> None:
    rules = Policy(default=TenantSpec(limit=Amount(**limit)))
    daemon.store.policy.put(rules, "root", daemon.world.clock.now())


def test_every_field_that_can_change_is_looked_at_here():
    assert set(UpdateRequest.__struct_fields__) == set(NO_MORE)
    assert set(NO_MORE) - set(MORE) == {"priority"}


# The reservation needs what the change asks for: memory, compute, or the time after the share.
@pytest.mark.parametrize(
    ("field", "sizes"),
    [("memory", (2 * HOUR, 39, 10)), ("compute", (2 * HOUR, 8, 50)), ("ttl", (1800, 60, 50))],
)
def test_no_change_takes_what_a_reservation_was_promised(world, state, field, sizes):
    ttl, gib, percent = sizes

    async def story(daemon):
        await create(daemon, "mine", 40, 50, ttl=Seconds(ttl))
        before = await daemon.show("mine")
        await create(daemon, "demo", gib, percent, ttl=HOUR, at=in_an_hour(daemon))
        with pytest.raises(NoCapacityError) as caught:
            await daemon.service.update("mine", MORE[field], ME)
        assert "demo" in caught.value.because
        assert await daemon.show("mine") == before
        await daemon.tick(3601)
        assert await daemon.state("demo") == State.GRANTED

    live(world, state, story)


def test_a_longer_stay_ends_before_the_reservation(world, state):
    async def story(daemon):
        await create(daemon, "mine", 60, 10, ttl=Seconds(60))
        await create(daemon, "demo", 60, 10, ttl=HOUR, at=in_an_hour(daemon))
        found = await daemon.service.update("mine", UpdateRequest(ttl=HOUR), ME)
        assert found.expires == in_an_hour(daemon)
        with pytest.raises(NoCapacityError):
            await daemon.service.update("mine", UpdateRequest(ttl=Seconds(3601)), ME)

    live(world, state, story)


def test_a_share_let_in_before_the_first_in_the_queue_does_not_stay_longer(world, state):
    async def story(daemon):
        await create(daemon, "first", 40, 10, ttl=HOUR)
        await create(daemon, "large", 70, 10)
        await create(daemon, "short", 30, 10, ttl=Seconds(600))
        assert await daemon.state("short") == State.GRANTED
        with pytest.raises(NoCapacityError) as caught:
            await daemon.service.update("short", MORE["ttl"], ME)
        assert "kept free" in caught.value.because

    live(world, state, story)


LIMITS = {"memory": {"memory": Bytes(50 * GIB)}, "compute": {"compute": Percent(60)}}


@pytest.mark.parametrize("field", LIMITS)
def test_no_change_goes_beyond_what_the_tenant_may_have(world, state, field):
    async def story(daemon):
        govern(daemon, **LIMITS[field])
        await create(daemon, "mine", 40, 50)
        with pytest.raises(QuotaError):
            await daemon.service.update("mine", MORE[field], ME)
        await create(daemon, "other", 8, 8)
        within = UpdateRequest(memory=MemoryAsk(limit=Bytes(41 * GIB)))
        await daemon.service.update("mine", within, ME)
        beyond = UpdateRequest(
            memory=MemoryAsk(limit=Bytes(43 * GIB)), compute=ComputeAsk(request=Percent(55))
        )
        with pytest.raises(QuotaError) as caught:
            await daemon.service.update("mine", beyond, ME)
        assert "others of tenant" in caught.value.because

    live(world, state, story)


@pytest.mark.parametrize("field", NO_MORE)
def test_what_takes_nothing_more_is_never_refused(world, state, field):
    async def story(daemon):
        await create(daemon, "mine", 40, 50, ttl=2 * HOUR)
        await create(daemon, "demo", 39, 50, ttl=HOUR, at=in_an_hour(daemon))
        govern(daemon, memory=Bytes(GIB), compute=Percent(1))
        await daemon.service.update("mine", NO_MORE[field], ME)

    live(world, state, story)
