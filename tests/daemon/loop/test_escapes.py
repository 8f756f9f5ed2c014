# SPDX-License-Identifier: Apache-2.0
"""A limit that does not hold is seen in the next passes, and so is its end."""

import signal

import pytest
from msgspec.structs import replace

from gpushare.mechanisms.mechanism import Observation
from gpushare.model.escape import EscapeKind
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import EscapeAct
from gpushare.model.share import Finding, Level, State
from gpushare.model.spec import MemoryAsk
from gpushare.model.units import GIB, Bytes
from gpushare.model.view import EnterRequest, UpdateRequest
from support.world.session import ME, STRANGER, live
from support.world.world import KEPT, make_world

GPU = GpuId("GPU-0")
HELD = Finding(
    dimension="memory",
    promised=Level.COOPERATIVE,
    delivered=Level.COOPERATIVE,
    evidence="all paths refuse more",
)


@pytest.fixture
def world(tmp_path):
    found = make_world(tmp_path / "world", gpus=2)
    yield found
    found.close()


def events(daemon, share):
    told = [e for e in daemon.store.events.since(0) if e.share == share.id]
    return [e.type for e in told if "escape" in e.type or "over" in e.type]


def kinds(view):
    return [cause.kind for cause in view.escape.causes] if view.escape else []


# What happens in the world.
def without_guard(world, process):
    world.occupy(world.bare(process), 39)


def without_guard_and_small(world, process):
    world.occupy(world.bare(process), 0.5)


def without_guard_of_unknown_size(world, process):
    world.occupy(world.bare(process), None)


def above_the_limit(world, process):
    world.occupy(process, 9)


def on_another_gpu(world, process):
    world.occupy(process, 4, gpu=1)


def on_another_gpu_without_guard(world, process):
    world.occupy(world.bare(process), 4, gpu=1)


def without_a_region(world, process):
    world.occupy(process, 4)
    world.unreadable = "the region is gone"


def impossible(world, _):
    world.counted["job"] = Observation(used={GPU: Bytes(2**65)}, peak={GPU: Bytes(2**65)})


NO_GUARD, OVER = EscapeKind.NO_GUARD, EscapeKind.OVER_LIMIT


@pytest.mark.parametrize(
    ("happen", "found"),
    [
        (without_guard, [NO_GUARD, OVER]),
        (without_guard_and_small, [NO_GUARD]),
        (without_guard_of_unknown_size, [NO_GUARD]),
        (above_the_limit, [OVER]),
        (on_another_gpu, [EscapeKind.OTHER_GPU]),
        (on_another_gpu_without_guard, [EscapeKind.OTHER_GPU]),
        (without_a_region, [EscapeKind.STALE]),
        (impossible, [EscapeKind.IMPOSSIBLE]),
    ],
)
def test_what_contradicts_a_limit_lowers_its_level_until_it_ends(world, state, happen, found):
    async def story(daemon):
        _share, process = await daemon.run(8, name="job")
        await daemon.tick()
        assert (await daemon.show("job")).escape is None
        happen(world, process)
        await daemon.tick(times=2)
        view = await daemon.show("job")
        assert kinds(view) == found
        assert view.enforcement.memory is Level.REPORTED
        assert view.promised.memory is Level.COOPERATIVE
        assert view.escape.since == world.clock.now()

    live(world, state, story)


def test_an_escape_ends_with_its_process_and_is_remembered(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        bare = world.bare(process)
        world.occupy(bare, 39)
        await daemon.tick(times=3)
        view = await daemon.show("job")
        assert (view.memory.used, view.escape.causes[0].pid) == (39 * GIB, bare.pid)
        world.leave(bare)
        world.end(bare)
        await daemon.tick()
        after = await daemon.show("job")
        assert after.enforcement == after.promised == view.promised
        assert (after.escape.since, after.escape.until) == (view.escape.since, world.clock.now())
        assert events(daemon, share) == [
            "share.escaped",
            "share.over_limit",
            "share.escape_ended",
        ]

    live(world, state, story)


def test_one_look_alone_is_no_escape(world, state):
    """A process that ends is listed a moment longer than its guard counts it."""

    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        ending = world.bare(process)
        world.occupy(ending, 4)
        await daemon.tick()
        world.leave(ending)
        await daemon.tick(times=2)
        assert events(daemon, share) == []

    live(world, state, story)


def test_a_daemon_that_starts_again_goes_on_with_an_escape(world, state):
    async def before(daemon):
        _share, process = await daemon.run(8, name="job")
        world.occupy(world.bare(process), 39)
        await daemon.tick(times=2)
        return await daemon.show("job")

    async def after(daemon):
        await daemon.tick(times=2)
        view = await daemon.show("job")
        assert (view.escape.since, view.escape.until) == (began.escape.since, None)
        assert events(daemon, view) == ["share.escaped", "share.over_limit"]

    began = live(world, state, before)
    live(world, state, after)


def honest(world, process):
    world.occupy(process, 8)


def code_beyond_the_charges(world, process):
    world.occupy(process, 8.2)


def unknown_sizes(world, process):
    world.occupy(process, None)


def unknown_processes(world, process):
    world.occupy(world.bare(process), 39)
    world.unlist()


def off_the_gpu(world, process):
    world.bare(process)


@pytest.mark.parametrize(
    "happen", [honest, code_beyond_the_charges, unknown_sizes, unknown_processes, off_the_gpu]
)
def test_nothing_is_concluded_from_what_is_usual_or_unknown(world, state, happen):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        happen(world, process)
        await daemon.tick(times=3)
        assert (await daemon.show("job")).escape is None
        assert events(daemon, share) == []

    live(world, state, story)


def test_the_drivers_count_is_unknown_where_it_lists_nothing(world, state):
    async def story(daemon):
        _share, process = await daemon.run(8, name="job")
        world.counted["job"] = Observation(used={GPU: Bytes(GIB)}, peak={GPU: Bytes(GIB)})
        world.occupy(process, 3)
        await daemon.tick()
        known = (await daemon.show("job")).memory
        assert (known.used, known.uncounted) == (3 * GIB, 2 * GIB)
        world.unlist()
        await daemon.tick()
        unknown = (await daemon.show("job")).memory
        assert (unknown.used, unknown.uncounted) == (GIB, None)

    live(world, state, story)


def test_memory_on_another_gpu_counts_as_used(world, state):
    async def story(daemon):
        _, process = await daemon.run(8, name="job")
        world.counted["job"] = Observation(used={GPU: Bytes(GIB)}, peak={GPU: Bytes(GIB)})
        world.occupy(process, 1)
        child = world.bare(process)
        world.occupy(child, 4, gpu=1)
        await daemon.tick(times=2)
        memory = (await daemon.show("job")).memory
        assert (memory.used, memory.uncounted) == (5 * GIB, 4 * GIB)

    live(world, state, story)


def test_memory_from_before_a_limit_was_lowered_is_no_escape(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        world.occupy(process, 7)
        await daemon.tick()
        await daemon.service.update("job", UpdateRequest(memory=MemoryAsk(limit=4 * GIB)), ME)
        await daemon.tick(times=2)
        assert events(daemon, share) == []
        world.occupy(process, 5)
        await daemon.tick(times=2)
        assert events(daemon, share) == []
        # Nothing grows while it is above its limit.
        world.occupy(process, 7)
        await daemon.tick(times=2)
        assert kinds(await daemon.show("job")) == [OVER]

    live(world, state, story)


def test_a_share_inside_a_share_is_no_escape_of_the_outer_one(world, state):
    async def story(daemon):
        _outer, process = await daemon.run(8, name="outer")
        inner = await daemon.create(None, name="inner")
        child = world.bare(process)
        entry = await daemon.service.enter("inner", EnterRequest(pid=child.pid), ME)
        world.enter(child, entry.env)
        world.occupy(child, 70, gpu=int(inner.gpus[0][-1]))
        await daemon.tick(times=3)
        assert (await daemon.show("outer")).escape is None

    live(world, state, story)


def test_a_whole_gpu_needs_no_guard(world, state):
    async def story(daemon):
        _share, process = await daemon.run(None, name="job")
        world.occupy(world.bare(process), 70)
        await daemon.tick(times=3)
        assert (await daemon.show("job")).escape is None

    live(world, state, story)


def test_the_policy_ends_a_share_that_escapes(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        bare = world.bare(process)
        world.occupy(bare, 39)
        set_policy(daemon, EscapeAct.END)
        await daemon.tick(times=2)
        asked = {pid for pid, number in world.signals if number is signal.SIGTERM}
        assert asked == {process.pid, bare.pid}
        for one in (bare, process):
            world.leave(one)
            world.end(one)
        await daemon.tick(times=2)
        ended = next(s for s in daemon.store.shares.all() if s.id == share.id)
        assert ended.state is State.RELEASED
        assert "a limit did not hold" in ended.reason

    live(world, state, story)


def test_a_region_that_cannot_be_read_ends_nothing(world, state):
    """As after an upgrade, while programs of the earlier version run."""

    async def story(daemon):
        _, process = await daemon.run(8, name="job")
        world.occupy(process, 4)
        world.unreadable = "it has version 1, not 2"
        set_policy(daemon, EscapeAct.END)
        await daemon.tick(times=3)
        assert kinds(await daemon.show("job")) == [EscapeKind.STALE]
        assert world.signals == []

    live(world, state, story)


def test_the_policy_stops_processes_that_escape(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        bare = world.bare(process)
        world.occupy(bare, 4)
        set_policy(daemon, EscapeAct.SUSPEND)
        await daemon.tick(times=4)
        assert {pid for pid, number in world.signals} == {bare.pid}
        assert {number for pid, number in world.signals} == {signal.SIGSTOP}
        assert events(daemon, share) == ["share.escaped", "share.escape_stopped"]

    live(world, state, story)


def set_policy(daemon, act):
    policy = replace(daemon.store.policy.current(), on_escape=act)
    daemon.store.policy.put(policy, by="root", at=daemon.world.clock.now())


def test_verify_fails_while_an_escape_lasts(world, state):
    async def story(daemon):
        _share, process = await daemon.run(8, name="job")
        bare = world.bare(process)
        world.occupy(bare, 39)
        world.proof = replace(KEPT, findings=(HELD,))
        broken = await daemon.service.verify("job", ME)
        assert not broken.ok
        memory = next(f for f in broken.findings if f.dimension == "memory")
        assert (memory.delivered, str(bare.pid) in memory.evidence) == (Level.REPORTED, True)
        await daemon.tick()
        await daemon.tick()
        assert not (await daemon.show("job")).verified.ok
        world.leave(bare)
        world.end(bare)
        assert (await daemon.service.verify("job", ME)).ok

    live(world, state, story)


def test_gpus_and_metrics_show_an_escape_and_strangers_do_not_see_it(world, state):
    async def story(daemon):
        share, process = await daemon.run(8, name="job")
        bare = world.bare(process)
        world.occupy(bare, 39)
        await daemon.tick(times=2)
        gpu = (await daemon.service.gpus(ME))[0]
        assert {cause.pid for cause in gpu.escapes} == {bare.pid, None}
        text = (await daemon.service.metrics(ME)).decode()
        assert f'gpushare_share_escaped{{name="job",share="{share.id}"' in text
        (strange,) = await daemon.service.shares(STRANGER)
        assert (strange.escape, strange.enforcement) == (None, share.enforcement)
        assert (await daemon.service.gpus(STRANGER))[0].escapes == ()

    live(world, state, story)
