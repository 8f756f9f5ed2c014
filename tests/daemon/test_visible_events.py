# SPDX-License-Identifier: Apache-2.0
"""What is reported: events, metrics, plans."""

import asyncio

import pytest

from gpushare.daemon.base.bus import PAGE
from gpushare.daemon.services.streams import MOST_STREAMS
from gpushare.model.errors import RateLimitedError
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from support.world.session import ME, STRANGER, live


def test_events_tell_the_story_from_any_point(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        await daemon.tick()
        daemon.parts.bus.close()
        told = [e.type for e in daemon.store.events.since(0) if e.share == share.id]
        assert told == [
            "share.queued",
            "share.verified",
            "share.granted",
            "share.running",
            "share.exited",
            "share.released",
        ]

    live(world, state, story)


async def hear(daemon, caller):
    return [event.type async for event in daemon.service.events(0, caller)]


def test_followers_hear_what_comes(world, state):
    async def story(daemon):
        listening = asyncio.create_task(hear(daemon, ME))
        await daemon.create(8)
        daemon.parts.bus.close()
        assert (await listening)[-1] == "share.granted"

    live(world, state, story)


@pytest.mark.parametrize(("beyond", "heard"), [(0, 0), (1, 3), (1000, 3)])
def test_who_knows_later_events_than_there_were_hears_all(world, state, beyond, heard):
    async def story(daemon):
        for number in range(3):
            daemon.parts.bus.publish("gpu.xid", f"number {number}")
        daemon.parts.bus.close()
        since = daemon.store.events.last() + beyond
        events = [event.message async for event in daemon.service.events(since, ME)]
        assert events == [f"number {number}" for number in range(heard)]

    live(world, state, story)


def test_old_events_are_read_some_at_a_time_and_others_go_on_in_between(world, state, monkeypatch):
    async def story(daemon):
        await daemon.create(8)
        for number in range(PAGE * 20):
            daemon.parts.bus.publish("gpu.xid", f"number {number}")
        pages, since = [], daemon.store.events.since

        def read(seq, most=None):
            pages.append(most)
            return since(seq, most)

        monkeypatch.setattr(daemon.store.events, "since", read)
        listening = asyncio.create_task(hear(daemon, STRANGER))
        await asyncio.sleep(0)
        turns = 0
        while len(pages) < 20:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 10
        assert set(pages) == {PAGE}
        daemon.parts.bus.close()
        assert await listening == ["gpu.xid"] * PAGE * 20

    live(world, state, story)


def test_which_events_are_heard_is_asked_once_for_many(world, state, monkeypatch):
    async def story(daemon):
        await daemon.create(8)
        for number in range(PAGE):
            daemon.parts.bus.publish("share.denied", f"{number}", share="0123456789ab")
        asked = []
        rows = daemon.store.shares.of
        monkeypatch.setattr(daemon.store.shares, "of", lambda uid: asked.append(uid) or rows(uid))
        monkeypatch.setattr(daemon.store.shares, "get", None)
        daemon.parts.bus.close()
        assert await hear(daemon, STRANGER) == []
        assert len(asked) <= 3

    live(world, state, story)


def test_each_user_has_a_bounded_number_of_streams(world, state):
    async def story(daemon):
        streams = [daemon.service.events(0, STRANGER) for _ in range(MOST_STREAMS)]
        daemon.parts.bus.publish("gpu.xid", "one")
        # They count from the call on: many at once must not all pass before the first is read.
        with pytest.raises(RateLimitedError, match="too many event streams") as caught:
            daemon.service.events(0, STRANGER)
        assert f"may have {MOST_STREAMS}" in caught.value.because
        assert (await anext(daemon.service.events(0, ME))).type == "gpu.xid"
        streams.pop()  # the caller was gone before anything was sent
        assert (await anext(daemon.service.events(0, STRANGER))).type == "gpu.xid"

    live(world, state, story)


def test_strangers_hear_nothing_of_others(world, state):
    async def story(daemon):
        await daemon.create(8)
        listening = asyncio.create_task(hear(daemon, STRANGER))
        await asyncio.sleep(0)
        daemon.parts.bus.close()
        assert await listening == []

    live(world, state, story)


def test_a_share_above_its_limit_by_the_drivers_count_is_reported_once(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.occupy(process, 9)
        await daemon.tick(times=3)
        told = [e for e in daemon.store.events.since(0) if e.type == "share.over_limit"]
        assert [(e.share, e.message) for e in told] == [
            (share.id, "the share exceeds its limit and holds 9 GiB")
        ]

    live(world, state, story)


def test_metrics_have_the_shares(world, state):
    async def story(daemon):
        await daemon.create(8)
        text = (await daemon.service.metrics(ME)).decode()
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
