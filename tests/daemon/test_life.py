# SPDX-License-Identifier: Apache-2.0
"""The life of shares: granted, entered, left, ended, waited for."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta

import pytest

from gpushare.hardware.ports import Xid
from gpushare.model.errors import (
    BadSpecError,
    ConflictError,
    GpushareError,
    MpsStuckError,
    NeverFitsError,
    NoCapacityError,
    NotEnforcedError,
    NotYoursError,
    UsageError,
    WaitTimeoutError,
)
from gpushare.model.ids import GpuId
from gpushare.model.share import Finding, Level, State, Verification
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Seconds
from gpushare.model.view import CreateRequest, EnterRequest

from .sitting import ME, STRANGER, live
from .world import stuck

BROKEN = Verification(
    at=datetime(2026, 11, 23, tzinfo=UTC),
    ok=False,
    findings=(
        Finding(
            dimension="memory",
            promised=Level.COOPERATIVE,
            delivered=Level.NONE,
            evidence="got 6 GiB of 4",
        ),
    ),
)


def test_a_program_has_its_share_while_it_lives(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        assert share.state is State.RUNNING
        assert share.pids == (process.pid,)
        assert share.name == "train"
        assert share.simulated
        assert world.made == {("timeslice", share.id), ("guard", share.id)}
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made
        assert not world.groups

    live(world, state, story)


def test_entering_gives_the_environment(world, state):
    async def story(daemon):
        process = world.spawn()
        share = await daemon.create(8, holder=process)
        entry = await daemon.service.enter("train", EnterRequest(pid=process.pid), ME)
        assert entry.env["GPUSHARE_SHARE"] == share.id
        assert entry.env["VIA"] == "guard"
        assert process.pid in world.pids(share.id)

    live(world, state, story)


@pytest.mark.parametrize("with_cgroups", [True, False])
def test_a_child_keeps_the_share_when_its_parent_ends(world, state, with_cgroups):
    world.with_cgroups = with_cgroups

    async def story(daemon):
        share, parent = await daemon.run(8)
        child = world.spawn(parent.pid)
        world.end(parent)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        world.end(child)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_child_forked_and_orphaned_between_two_looks_is_found_by_its_mark(world, state):
    world.with_cgroups = False

    async def story(daemon):
        share, parent = await daemon.run(8)
        await daemon.tick()
        orphan = world.spawn(world.spawn(parent.pid).pid)
        world.end(parent)
        await daemon.tick()
        assert orphan.pid in (await daemon.show(share.id)).pids

    live(world, state, story)


def test_the_end_of_a_program_wakes_the_loop(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        world.end(process)
        await asyncio.wait_for(daemon.core.reconciler.rest(3600), 10)

    live(world, state, story)


def test_a_share_without_holder_stays_until_removed(world, state):
    async def story(daemon):
        share = await daemon.create(8, name="desk")
        process = world.spawn()
        await daemon.service.enter("desk", EnterRequest(pid=process.pid), ME)
        world.end(process)
        await daemon.tick()
        assert await daemon.state("desk") == State.GRANTED
        removed = await daemon.service.remove("desk", ME)
        assert removed.state is State.RELEASED
        assert removed.id == share.id

    live(world, state, story)


def test_a_holder_that_dies_before_it_enters_gives_the_share_back(world, state):
    async def story(daemon):
        holder = world.spawn()
        await daemon.create(8, holder=holder)
        world.end(holder)
        await daemon.tick()
        assert await daemon.state("train") == State.RELEASED

    live(world, state, story)


def test_a_pid_that_was_given_to_another_process_holds_nothing(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        world.groups[share.id].clear()
        world.spawn(pid=process.pid)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_the_queue_moves_when_room_is_made(world, state):
    async def story(daemon):
        _, first = await daemon.run(60, name="first")
        second = await daemon.create(60, name="second")
        third = await daemon.create(1, name="third")
        assert second.state is State.QUEUED
        assert second.queue.position == 1
        assert "60 GiB of memory on GPU 0" in second.queue.waits_for
        assert third.queue.position == 2
        world.end(first)
        await daemon.tick()
        assert await daemon.state("second") == State.GRANTED
        assert await daemon.state("third") == State.GRANTED

    live(world, state, story)


def test_waiting_ends_when_the_share_is_granted(world, state):
    async def story(daemon):
        _, first = await daemon.run(60, name="first")
        await daemon.create(60, name="second")
        waiting = asyncio.create_task(
            daemon.service.wait("second", (State.GRANTED,), Seconds(60), ME)
        )
        await asyncio.sleep(0)
        world.end(first)
        await daemon.tick()
        assert (await waiting).state is State.GRANTED

    live(world, state, story)


def test_waiting_in_vain_times_out(world, state):
    async def story(daemon):
        await daemon.create(60, name="first")
        await daemon.create(60, name="second")
        with pytest.raises(WaitTimeoutError, match="still queued"):
            await daemon.service.wait("second", (State.GRANTED,), Seconds(0), ME)

    live(world, state, story)


def test_no_wait_is_refused_and_leaves_nothing(world, state):
    async def story(daemon):
        await daemon.create(60)
        with pytest.raises(NoCapacityError, match="does not fit now"):
            await daemon.create(60, wait=False)
        assert len(await daemon.service.shares(ME, ended=True)) == 1

    live(world, state, story)


def test_what_never_fits_leaves_nothing(world, state):
    async def story(daemon):
        with pytest.raises(NeverFitsError):
            await daemon.create(500)
        assert not await daemon.service.shares(ME, ended=True)

    live(world, state, story)


def test_a_queued_share_whose_program_dies_leaves_the_queue(world, state):
    async def story(daemon):
        await daemon.create(60)
        holder = world.spawn()
        await daemon.create(60, holder=holder, name="second")
        world.end(holder)
        await daemon.tick()
        assert await daemon.state("second") == State.RELEASED

    live(world, state, story)


def test_time_is_up(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, ttl=60)
        await daemon.tick(59)
        assert await daemon.state(share.id) == State.RUNNING
        await daemon.tick(2)
        assert set(world.drained) == {("train", (process.pid,))}
        assert world.signals == [(process.pid, signal.SIGTERM)]
        await daemon.tick(11)
        assert world.signals[-1] == (process.pid, signal.SIGKILL)
        world.end(process)
        await daemon.tick()
        ended = await daemon.show(share.id)
        assert (ended.state, ended.reason) == (State.RELEASED, "its time is over")

    live(world, state, story)


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
def test_a_clock_that_jumps_ends_nothing_and_extends_nothing(world, state, jump):
    async def story(daemon):
        share, process = await daemon.run(8, ttl=60)
        await daemon.tick(1)
        world.clock.wall += jump
        await daemon.tick(30)
        assert await daemon.state(share.id) == State.RUNNING
        assert not world.signals
        await daemon.tick(40)
        assert world.signals == [(process.pid, signal.SIGTERM)]

    live(world, state, story)


def test_a_share_in_use_is_removed_by_force_only(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        with pytest.raises(ConflictError, match="in use"):
            await daemon.service.remove("train", ME)
        removing = asyncio.create_task(daemon.service.remove("train", ME, force=True))
        while not world.signals:  # noqa: ASYNC110 (the world has no bell)
            await asyncio.sleep(0)
        world.end(process)
        await daemon.tick()
        assert (await removing).state is State.RELEASED

    live(world, state, story)


def test_removing_twice_is_removing_once(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        first = await daemon.service.remove(share.id, ME)
        assert await daemon.service.remove(share.id, ME) == first

    live(world, state, story)


def test_only_the_owner_touches_a_share(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        for call in (
            daemon.service.remove("train", STRANGER, force=True),
            daemon.service.verify("train", STRANGER),
            daemon.service.wait("train", (), Seconds(1), STRANGER),
            daemon.service.enter("train", EnterRequest(pid=process.pid), STRANGER),
        ):
            with pytest.raises(NotYoursError):
                await call
        seen = (await daemon.service.shares(STRANGER))[0]
        assert (seen.id, seen.pids, seen.why) == (share.id, (), ())

    live(world, state, story)


def test_nobody_enters_with_a_process_that_is_not_his(world, state):
    async def story(daemon):
        process = world.spawn()
        spec = ShareSpec(memory=MemoryAsk(limit=GIB))
        await daemon.service.create(CreateRequest(spec=spec), STRANGER)
        with pytest.raises(NotYoursError, match="process"):
            await daemon.service.enter("share", EnterRequest(pid=process.pid), STRANGER)
        with pytest.raises(UsageError, match="no process 999999"):
            await daemon.service.enter("share", EnterRequest(pid=999_999), ME)

    live(world, state, story)


@pytest.mark.parametrize("name", ["a/b", "../x", "-x", "", "ü", "x" * 64])
def test_bad_names_are_refused(world, state, name):
    async def story(daemon):
        if name:
            with pytest.raises(BadSpecError, match="cannot name"):
                await daemon.create(8, name=name)

    live(world, state, story)


def test_names_follow_the_program(world, state):
    async def story(daemon):
        names = [(await daemon.create(1)).name for _ in range(3)]
        assert names == ["train", "train-2", "train-3"]

    live(world, state, story)


def test_a_mechanism_that_fails_fails_the_share_and_is_undone(world, state):
    async def story(daemon):
        calls = []

        def once() -> None:
            calls.append(1)
            if len(calls) == 2:
                stuck()

        world.trouble = once
        with pytest.raises(MpsStuckError):
            await daemon.create(8)
        assert not world.made
        failed = (await daemon.service.shares(ME, ended=True))[0]
        assert failed.state is State.FAILED
        assert "does not answer" in failed.reason

    live(world, state, story)


def test_a_release_that_fails_is_tried_again(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        world.trouble = stuck
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        assert daemon.core.failed_passes == 1
        world.trouble = lambda: None
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made

    live(world, state, story)


def test_a_stack_is_proved_once_a_boot(world, state):
    async def story(daemon):
        first = await daemon.create(1)
        await daemon.create(1)
        assert world.probed == [("timeslice", "guard")]
        assert first.verified.ok
        await daemon.create(1, gpus=1, mechanism=None, isolation="any", labels={"a": "b"})
        assert len(world.probed) == 1

    live(world, state, story)
    world.boot = "boot-2"

    async def later(daemon):
        await daemon.create(1)
        assert len(world.probed) == 2

    live(world, state, later)


def test_a_broken_promise_is_refused_unless_allowed(world, state):
    world.proof = BROKEN

    async def story(daemon):
        with pytest.raises(NotEnforcedError, match="does not keep its promise") as caught:
            await daemon.create(8)
        assert "got 6 GiB of 4" in caught.value.because
        assert caught.value.exit_code == 7
        assert not world.made
        allowed = await daemon.create(8, allow_unverified=True)
        assert allowed.state is State.GRANTED
        assert not allowed.verified.ok

    live(world, state, story)


def test_a_lost_gpu_fails_its_shares_when_their_programs_end(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.lose(0)
        await daemon.tick()
        hit = await daemon.show(share.id)
        assert (hit.state, hit.reason) == (State.RUNNING, "a GPU of the share is lost")
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.FAILED
        kinds = [event.type for event in daemon.store.events.since(0)]
        assert "gpu.lost" in kinds
        assert "share.fault" in kinds

    live(world, state, story)


@pytest.mark.parametrize("compute", [40, 100], ids=["mps", "timeslice"])
@pytest.mark.parametrize(
    ("code", "reaches"), [(31, {40}), (79, {40, 100}), (45, set()), (63, set())]
)
def test_an_xid_is_told_to_those_it_reaches(world, state, code, reaches, compute):
    async def story(daemon):
        share, _ = await daemon.run(8, compute=compute)
        daemon.core.reconciler.notice_xid(Xid(gpu=GpuId("GPU-0"), code=code))
        told = (await daemon.show(share.id)).reason
        assert ("Xid" in told) == (compute in reaches)

    live(world, state, story)


def test_a_fault_of_the_mechanism_is_told_once(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        world.fault = "the MPS server is in FAULT"
        await daemon.tick()
        await daemon.tick()
        assert (await daemon.show(share.id)).reason == "the MPS server is in FAULT"
        faults = [e for e in daemon.store.events.since(0) if e.type == "share.fault"]
        assert len(faults) == 1

    live(world, state, story)


async def fill(daemon):
    for _ in range(200):
        await daemon.create(1, labels={"pad": "x" * 3000})


def test_a_full_disk_stops_changes_and_loses_nothing(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        pages = daemon.store._db.rows("PRAGMA page_count")[0][0]
        daemon.store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(GpushareError, match="cannot write"):
            await fill(daemon)
        daemon.store._db.execute("PRAGMA max_page_count = 100000")
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        made = {identity for _, identity in world.made}
        held = {s.id for s in await daemon.service.shares(ME) if s.state.holds}
        assert made == held
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_restarted_daemon_knows_its_shares_again(world, state):
    async def before(daemon):
        share, process = await daemon.run(8)
        return share.id, process

    share, process = live(world, state, before)

    async def after(daemon):
        assert (await daemon.show(share)).pids == (process.pid,)
        assert await daemon.state(share) == State.RUNNING
        assert not world.signals
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share) == State.RELEASED

    live(world, state, after)


def test_a_program_that_ended_while_no_daemon_ran_is_noticed(world, state):
    async def before(daemon):
        return await daemon.run(8)

    share, process = live(world, state, before)
    world.end(process)

    async def after(daemon):
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made

    live(world, state, after)


def test_events_tell_the_story_from_any_point(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        await daemon.tick()
        daemon.core.bus.close()
        told = [e.type for e in daemon.store.events.since(0) if e.share == share.id]
        assert told == [
            "share.queued",
            "share.verified",
            "share.granted",
            "share.running",
            "share.released",
        ]

    live(world, state, story)


async def hear(daemon, caller):
    return [event.type async for event in daemon.service.events(0, caller)]


def test_followers_hear_what_comes(world, state):
    async def story(daemon):
        listening = asyncio.create_task(hear(daemon, ME))
        await daemon.create(8)
        daemon.core.bus.close()
        assert (await listening)[-1] == "share.granted"

    live(world, state, story)


def test_strangers_hear_nothing_of_others(world, state):
    async def story(daemon):
        await daemon.create(8)
        listening = asyncio.create_task(hear(daemon, STRANGER))
        await asyncio.sleep(0)
        daemon.core.bus.close()
        assert await listening == []

    live(world, state, story)


def test_memory_of_strangers_is_not_granted_and_that_of_members_counts_once(world, state):
    async def story(daemon):
        share, process = await daemon.run(30)
        world.occupy(process, 29)
        world.occupy(world.spawn(), 20)
        waiting = await daemon.create(40, name="second")
        assert waiting.queue.waits_for == "40 GiB of memory on GPU 0 (30 GiB free)"
        assert (await daemon.show(share.id)).memory.used == 29 * GIB
        assert (await daemon.create(40, name="third", gpus=1)).state is State.QUEUED

    live(world, state, story)


def test_a_share_above_its_limit_by_the_drivers_count_is_told_once(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.occupy(process, 9)
        await daemon.tick()
        await daemon.tick()
        told = [e for e in daemon.store.events.since(0) if e.type == "share.over"]
        assert [(e.share, e.message) for e in told] == [
            (share.id, "holds 9 GiB of GPU 0, above its limit")
        ]

    live(world, state, story)


def test_metrics_have_the_shares(world, state):
    async def story(daemon):
        await daemon.create(8)
        text = (await daemon.service.metrics()).decode()
        assert 'gpushare_shares{state="granted"} 1.0' in text
        assert 'gpushare_gpu_memory_granted_bytes{gpu="GPU-0",index="0"} 8.589934592e+09' in text

    live(world, state, story)


def test_a_plan_changes_nothing(world, state):
    async def story(daemon):
        spec = ShareSpec(memory=MemoryAsk(limit=60 * GIB))
        plan = await daemon.service.plan(spec, ME)
        assert plan.decision.gpus == ("GPU-0",)
        await daemon.create(60)
        assert "60 GiB of memory" in (await daemon.service.plan(spec, ME)).waits_for
        assert len(await daemon.service.shares(ME)) == 1

    live(world, state, story)
