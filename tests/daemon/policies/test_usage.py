# SPDX-License-Identifier: Apache-2.0
"""What tenants are charged for their shares."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.daemon.policies.usage import cut, had, rate, rolled_up
from gpushare.guard import SharePolicy, ShareSlot
from gpushare.model.errors import StateFullError
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import ComputeAsk, GpuGrant, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import CreateRequest, SuspendRequest
from support.world.session import ME, live, session

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LAB = Tenant("lab")
S = 10**9  # nanoseconds
USABLE = {GpuId("GPU-0"): 80 * GIB, GpuId("GPU-1"): 80 * GIB}


def share(*grants: GpuGrant, by: MechanismName = MechanismName.TIMESLICE) -> Share:
    return Share(
        id=ShareId("a"),
        name="a",
        spec=ShareSpec(gpus=len(grants)),
        tenant=LAB,
        uid=1000,
        gid=1000,
        state=State.RUNNING,
        created=NOW,
        decision=Decision(grants=grants, mechanisms=(by, MechanismName.GUARD)),
    )


def grant(gib: int, compute: int = 100, request: int = 0, gpu: str = "GPU-0") -> GpuGrant:
    return GpuGrant(
        gpu=GpuId(gpu),
        limit=gib * GIB,
        request=gib * GIB,
        compute=compute,
        compute_request=request,
    )


@pytest.mark.parametrize(
    ("grants", "crowd", "taken", "gpus"),
    [
        ((grant(20, 50, 50),), 0, None, 0.5),  # compute dominates
        ((grant(60, 50, 50),), 0, None, 0.75),  # memory does
        ((grant(20, 50, 50),), 0, 0.8, 0.8),  # it got more than it is guaranteed
        ((grant(20),), 1, None, 1.0),  # it may take all that is left
        ((grant(20),), 4, None, 0.25),
        ((grant(20),), 1, 0.1, 0.25),  # measured: it took less
        ((grant(20), grant(40, gpu="GPU-1")), 4, None, 0.75),
        ((grant(20, 50, 50, gpu="GPU-lost"),), 0, None, 0.0),
        ((grant(800, 50, 50),), 0, None, 1.0),
    ],
)
def test_the_dominant_fraction_of_each_gpu_counts(grants, crowd, taken, gpus):
    others = dict.fromkeys((*USABLE, GpuId("GPU-lost")), crowd)
    parts = {} if taken is None else dict.fromkeys(USABLE, taken)

    assert rate(share(*grants), USABLE, others, taken=parts) == pytest.approx(gpus)


def test_memory_above_what_is_guaranteed_counts_while_it_is_used():
    one, used = share(grant(8, 10, 10)), {GpuId("GPU-0"): 40 * GIB, GpuId("GPU-1"): 80 * GIB}

    assert rate(one, USABLE, {}, used=used) == pytest.approx(0.5)
    assert rate(one, USABLE, {}) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("before", "now", "part"),
    [
        ({}, {}, None),  # nothing is measured
        ({}, {"wanted_ns": S, "open_ns": S, "overrun_ns": S // 2}, 0.15),
        ({}, {"wanted_ns": S}, 0.0),  # it had no turn
        ({"busy_ns": S}, {"busy_ns": 3 * S}, 0.2),
        ({}, {"busy_ns": 99 * S}, 1.0),
        ({"wanted_ns": 9, "open_ns": 9}, {}, None),  # another share slot than before
        ({"open_ns": S}, {"wanted_ns": S}, 0.0),  # forged
    ],
)
def test_time_on_the_gpu_is_measured_by_the_share_slot(before, now, part):
    old, new = (ShareSlot(number=0, policy=SharePolicy(share="a"), **it) for it in (before, now))

    assert had(old, new, 10.0) == part
    assert had(old, new, 0.0) is None


def test_a_gpu_alone_counts_as_a_whole():
    part = share(grant(8, 10, 10))

    assert rate(part, USABLE, {}, alone=True) == 1
    assert rate(part, USABLE, {}) < 1


@given(
    until=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    seconds=st.floats(0, 100_000, allow_subnormal=False),
    gpus=st.floats(0.01, 8),
)
def test_time_is_cut_at_hours_and_none_is_lost(until, seconds, gpus):
    found = list(cut(LAB, until, seconds, gpus))
    hours = [charge.at.replace(minute=0, second=0, microsecond=0) for charge in found]

    assert sum(charge.seconds for charge in found) == pytest.approx(seconds * gpus)
    assert all(charge.seconds <= 3600 * gpus * (1 + 1e-9) for charge in found)
    assert hours == sorted(set(hours), reverse=True)
    assert all(until - timedelta(seconds=seconds + 1) <= charge.at <= until for charge in found)


def test_a_tenant_counts_what_is_below_it():
    tree = Policy(
        tenants={
            LAB: TenantSpec(),
            Tenant("vision"): TenantSpec(parent=LAB),
            Tenant("night"): TenantSpec(parent=Tenant("vision")),
        }
    )

    found = rolled_up(tree, {Tenant("night"): 1, Tenant("vision"): 10, LAB: 100, Tenant("ana"): 7})

    assert found == {"night": 1, "vision": 11, "lab": 111, "ana": 7}


def charged(daemon) -> float:
    """GPU seconds of all users."""
    now = daemon.world.clock.now()
    return sum(daemon.store.usage.within(now, 86400 * 30).values())


def held(gib: int = 8, compute: int = 50) -> CreateRequest:
    spec = ShareSpec(memory=MemoryAsk(limit=gib * GIB), compute=ComputeAsk(limit=compute))
    return CreateRequest(spec=spec)


async def hold_ten_seconds(daemon) -> None:
    await daemon.service.create(held(), ME)
    await daemon.tick(10)


def test_a_share_is_charged_from_its_grant_to_its_end(world, state):
    async def story(daemon):
        await daemon.tick(100)
        world.clock.pass_by(3)
        share = await daemon.service.create(held(), ME)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(5)
        world.clock.pass_by(4)
        await daemon.service.remove(share.id, ME)
        await daemon.tick(60)
        assert charged(daemon) == pytest.approx(7)
        await daemon.tick(60)
        assert charged(daemon) == pytest.approx(7)

    live(world, state, story)


def test_a_long_pause_between_passes_is_charged_in_full(world, state):
    async def story(daemon):
        await daemon.service.create(held(), ME)
        await daemon.tick(1)
        await daemon.tick(5 * 3600)
        assert charged(daemon) == pytest.approx(0.5 * (5 * 3600 + 1))

    live(world, state, story)


def test_work_is_charged_as_measured_and_idleness_with_memory_alone(world, state):
    gpu = GpuId("GPU-0")

    def slot(busy: int, launches: int) -> dict:
        policy = SharePolicy(share="a")
        return {gpu: ShareSlot(number=0, policy=policy, busy_ns=busy * S, launches=launches)}

    async def story(daemon):
        await daemon.run(8)  # no compute limit: it may take all
        world.share_slots = slot(0, 1)
        await daemon.tick(10)
        before = charged(daemon)
        world.share_slots = slot(5, 2)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(before + 5)
        for _ in range(8):
            await daemon.tick(10)  # nothing is launched: soon it is reported idle
        before = charged(daemon)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(before + 1)

    live(world, state, story)


def test_a_held_share_without_programs_takes_no_compute(world, state):
    async def story(daemon):
        await daemon.service.create(held(compute=100), ME)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(1)

    live(world, state, story)


def test_a_waiting_share_and_one_that_is_away_cost_nothing(world, state):
    async def story(daemon):
        await daemon.service.create(held(gib=60), ME)
        await daemon.service.create(held(gib=60), ME)
        await daemon.tick(10)
        before = charged(daemon)
        assert before == pytest.approx(7.5)
        first = (await daemon.service.shares(ME))[0]
        await daemon.service.suspend(first.id, SuspendRequest(), ME)
        await daemon.settled()
        await daemon.tick(10)  # the second one is there now
        assert charged(daemon) == pytest.approx(before + 7.5)

    live(world, state, story)


def test_what_was_held_while_no_daemon_ran_is_charged_by_the_records(world, state):
    async def first(daemon):
        _, process = await daemon.run(8, compute=50)
        await daemon.run(8, compute=40)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(9)
        return process

    def rest(process):
        world.clock.pass_by(100)
        world.end(process)  # it is unknown when: only what still stands was held all the time

        async def second(daemon):
            assert charged(daemon) == pytest.approx(9 + 40)
            await daemon.tick(10)
            assert charged(daemon) == pytest.approx(9 + 44)

        live(world, state, second)

    rest(live(world, state, first))


def test_not_for_longer_than_the_machine_is_up(world, state):
    live(world, state, hold_ten_seconds)
    world.clock.pass_by(10 * 86400)
    world.clock.seconds = 30.0  # it was off for ten days

    async def second(daemon):
        assert charged(daemon) == pytest.approx(5 + 15)

    live(world, state, second)


def test_setting_the_clock_back_or_forth_changes_no_sum(world, state):
    async def story(daemon):
        await hold_ten_seconds(daemon)
        world.clock.wall -= timedelta(days=3)
        await daemon.tick(10)
        world.clock.wall += timedelta(days=3)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(15)

    live(world, state, story)


def test_what_cannot_be_written_is_charged_later(world, state, monkeypatch):
    async def story(daemon):
        await hold_ten_seconds(daemon)

        def full(*_):
            raise StateFullError("cannot write", "the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(daemon.store.usage, "add", full)
            await daemon.tick(10)
        assert charged(daemon) == pytest.approx(5)
        await daemon.tick(10)
        assert charged(daemon) == pytest.approx(15)

    live(world, state, story)


def test_nothing_is_lost_while_the_driver_does_not_answer(world, state):
    live(world, state, hold_ten_seconds)
    gpus, world.gpus = world.gpus, ()
    world.clock.pass_by(20)
    with session(world, state) as daemon:
        asyncio.run(daemon.core.reconcile())
        world.clock.pass_by(20)
        world.gpus = gpus
        asyncio.run(daemon.core.reconcile())
        assert charged(daemon) == pytest.approx(25)


def test_tenants_are_charged_apart(world, state):
    async def story(daemon):
        one = await daemon.service.create(held(), ME)
        other = await daemon.service.create(held(compute=20), ME)
        daemon.store.shares.update(other.id, tenant=LAB)
        await daemon.tick(10)
        now = world.clock.now()
        found = daemon.store.usage.within(now, 3600 * 24)
        assert found == {one.tenant: pytest.approx(5), LAB: pytest.approx(2)}

    live(world, state, story)
