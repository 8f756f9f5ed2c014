# SPDX-License-Identifier: Apache-2.0
"""Memory limits and requests that follow what programs need."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.daemon.policies.autosize import LEAST, MemoryHistory, MemoryNeed, size_change
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import UnsupportedError
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Policy, SizingPolicy
from gpushare.model.share import State
from gpushare.model.spec import MechanismName, MemoryAsk
from gpushare.model.units import GIB, MIB, Bytes, Seconds
from gpushare.model.view import UpdateRequest
from support.shares import share
from support.world.session import ME, live

GPU = GpuId("GPU-0")
GROW = SizingPolicy(grow=True)
SHRINK = SizingPolicy(shrink=True, watch=Seconds(600))
ONE = share()


def need(limit: int = 8, request: int | None = None, used: int = 4, **more) -> MemoryNeed:
    """In GiB; asked as it stands unless stated otherwise."""
    request = limit if request is None else request
    figures = {"asked_limit": limit, "asked_request": request, **more}
    sizes = {k: Bytes(v * GIB) for k, v in figures.items() if k != "denied" and v is not None}
    return MemoryNeed(
        limit=Bytes(limit * GIB),
        request=Bytes(request * GIB),
        used=Bytes(used * GIB),
        denied=more.get("denied", False),
        **sizes,
    )


def room(gib: float) -> Bytes:
    return Bytes(int(gib * GIB))


def counted(gib: float, peak: float | None = None, denied: int = 0, cached: float = 0):
    return Observation(
        used={GPU: room(gib)},
        peak={GPU: room(gib if peak is None else peak)},
        denied=denied,
        cached=room(cached),
    )


def rule(daemon, **sizing) -> None:
    policy = Policy(sizing=SizingPolicy(**sizing))
    daemon.store.policy.put(policy, "root", daemon.world.clock.now())


def messages(daemon, kind: str = "share.resized") -> list[str]:
    return [event.message for event in daemon.store.events.since(0) if event.type == kind]


def test_a_program_near_its_wall_gets_a_quarter_more():
    change = size_change(GROW, ONE, need(8, used=8), room(80))
    assert change.memory == MemoryAsk(limit=room(10), request=room(8))


def test_what_is_only_kept_is_no_need():
    assert size_change(GROW, ONE, need(8, used=8, kept=4), room(80)) is None


def test_refused_memory_is_a_need_wherever_the_level_is():
    change = size_change(GROW, ONE, need(8, used=1, denied=True), room(80))
    assert change.memory.limit == room(10)
    assert "refused" in change.why


def test_no_limit_grows_beyond_what_the_policy_allows():
    assert size_change(GROW, ONE, need(16, used=16, asked_limit=8), room(80)) is None
    last = size_change(GROW, ONE, need(15, used=15, asked_limit=8), room(80))
    assert last.memory.limit == room(16)


def test_what_others_are_guaranteed_is_given_back():
    change = size_change(GROW, ONE, need(16, request=8, used=4, asked_limit=8), room(12))
    assert change.memory == MemoryAsk(limit=room(12), request=room(8))
    kept = size_change(GROW, ONE, need(16, request=8, used=14, asked_limit=8), room(2))
    assert kept.memory.limit == room(14), "what is in use cannot be taken"


def test_a_request_shrinks_to_the_peak_and_a_tenth():
    change = size_change(SHRINK, ONE, need(20, used=2, peak=10), room(80))
    assert change.memory == MemoryAsk(limit=room(20), request=room(11))
    assert "10 min" in change.why


def test_nothing_shrinks_before_it_was_watched_long_enough():
    assert size_change(SHRINK, ONE, need(20, used=2), room(80)) is None


def test_who_borrows_nothing_or_takes_turns_is_not_shrunk():
    for spec in (replace(ONE.spec, borrow=False), replace(ONE.spec, turns=True)):
        assert (
            size_change(SHRINK, replace(ONE, spec=spec), need(20, used=2, peak=4), room(80)) is None
        )


def test_a_shrunk_request_comes_back_when_it_is_needed():
    change = size_change(SHRINK, ONE, need(20, request=5, used=10, asked_request=20), room(80))
    assert change.memory.request == room(11)
    none = size_change(SHRINK, ONE, need(20, request=5, used=10, asked_request=20), room(5))
    assert none is None, "others have it meanwhile"


sizes = st.integers(0, 100_000).map(lambda mib: Bytes(mib * MIB))
policies = st.builds(SizingPolicy, grow=st.booleans(), shrink=st.booleans())


@st.composite
def needs(draw) -> MemoryNeed:
    """request ≤ asked request ≤ asked limit ≤ limit: as automatic changes leave it."""
    request, asked_request, asked_limit, limit = sorted(draw(sizes) for _ in range(4))
    return MemoryNeed(
        limit=Bytes(limit + MIB),
        request=request,
        asked_limit=Bytes(asked_limit + MIB),
        asked_request=asked_request,
        used=draw(sizes),
        kept=draw(sizes),
        peak=draw(st.none() | sizes),
        denied=draw(st.booleans()),
    )


@given(policies, needs(), sizes)
def test_a_program_that_stays_as_it_is_comes_to_rest(policy, found, free):
    found, ways = replace(found, denied=False), set()
    while change := size_change(policy, ONE, found, free):
        limit, request = change.memory.limit, change.memory.request
        ways |= {("limit", limit > found.limit)} if limit != found.limit else set()
        ways |= {("request", request > found.request)} if request != found.request else set()
        found = replace(found, limit=limit, request=request)
    assert len({what for what, _ in ways}) == len(ways), "it went both ways"


@given(policies, needs(), sizes)
def test_a_change_stays_within_its_bounds(policy, found, free):
    change = size_change(policy, ONE, found, free)
    if change is None:
        return
    limit, request = change.memory.limit, change.memory.request
    assert 0 <= request <= limit
    assert policy.grow or limit == found.limit
    assert policy.shrink or request == found.request
    if limit > found.limit:
        assert limit <= min(free, found.asked_limit * policy.grow_to)
        assert request == found.request
    if limit < found.limit:
        assert limit >= max(found.asked_limit, found.used, found.request)
    if request < found.request:
        assert request >= max(found.used, found.peak or 0, LEAST)
    if request > found.request:
        assert request <= min(found.asked_request, free)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_the_peak_is_the_most_of_the_watch_and_no_less(levels):
    history = MemoryHistory(0.0, counted(levels[0]))
    for at, level in enumerate(levels):
        history.note(at, 60, counted(level, peak=max(levels[: at + 1])))
    now = len(levels) - 1
    peak = history.peak(now, 60)
    if now < 60:
        assert peak is None
        return
    assert peak >= room(max(levels[-60:]))
    assert peak <= room(max(levels[-70:]))


def test_a_growing_program_grows(world, state):
    async def story(daemon):
        rule(daemon, grow=True, grow_to=1.5)
        share, _ = await daemon.run(8)
        world.counted["train"] = counted(7.9)
        await daemon.tick(5)
        grown = await daemon.show(share.id)
        assert (grown.memory.limit, grown.memory.request) == (room(10), room(8))
        assert grown.asked.memory.limit == room(8)
        assert messages(daemon) == ["limit up to 10 GiB: it is near its limit"]
        world.counted["train"] = counted(9.9, denied=3)
        await daemon.tick(5)
        assert len(messages(daemon)) == 1, "what a change does is seen first"
        await daemon.tick(5, times=10)
        assert (await daemon.show(share.id)).memory.limit == room(12)

    live(world, state, story)


def test_no_share_grows_into_what_others_have(world, state):
    async def story(daemon):
        rule(daemon, grow=True)
        await daemon.run(40)
        await daemon.run(38, name="other")
        world.counted["train"] = counted(40)
        await daemon.tick(30, times=10)
        assert (await daemon.show("train")).memory.limit == room(42)

    live(world, state, story)


def test_others_fit_next_to_a_share_that_was_shrunk(world, state):
    async def story(daemon):
        rule(daemon, shrink=True, watch=600)
        await daemon.run(60)
        world.counted["train"] = counted(10, peak=12)
        await daemon.run(60, name="other")
        assert await daemon.state("other") == State.QUEUED
        await daemon.tick(100, times=8)
        shown = await daemon.show("train")
        assert (shown.memory.limit, shown.memory.request) == (room(60), room(11))
        assert await daemon.state("other") == State.GRANTED

    live(world, state, story)


def test_off_unless_switched_on(world, state):
    async def story(daemon):
        await daemon.run(8)
        world.counted["train"] = counted(8, denied=1)
        for number in range(20):
            world.counted["train"] = counted(8, denied=number)
            await daemon.tick(100)
        assert not messages(daemon)
        assert (await daemon.show("train")).asked is None

    live(world, state, story)


def test_what_cannot_change_is_reported_once(world, state):
    async def story(daemon):
        rule(daemon, grow=True)
        await daemon.run(8)

        def refuse():
            raise UnsupportedError("its memory cannot change while it lives")

        world.trouble = refuse
        for number in range(5):
            world.counted["train"] = counted(8, denied=number)
            await daemon.tick(100)
        assert messages(daemon, "share.resize_failed") == [
            "its memory cannot change while it lives"
        ]
        assert not messages(daemon)

    live(world, state, story)


def test_a_limit_grows_under_mps_too(world, state):
    async def story(daemon):
        rule(daemon, grow=True)
        share, _ = await daemon.run(8, mechanism=MechanismName.MPS)
        assert MechanismName.MPS in share.mechanism
        world.counted["train"] = counted(8)
        await daemon.tick(100)
        assert (await daemon.show("train")).memory.limit > room(8)

    live(world, state, story)


def test_a_held_share_without_programs_keeps_what_it_asked(world, state):
    async def story(daemon):
        rule(daemon, shrink=True, watch=60)
        await daemon.create(8, name="desk")
        world.counted["desk"] = counted(0)
        await daemon.tick(100, times=5)
        assert (await daemon.show("desk")).memory.request == room(8)

    live(world, state, story)


def test_what_the_owner_asks_is_what_was_asked(world, state):
    async def story(daemon):
        rule(daemon, grow=True)
        await daemon.run(8)
        world.counted["train"] = counted(8)
        await daemon.tick(5)
        await daemon.service.update("train", UpdateRequest(memory=MemoryAsk(limit=room(9))), ME)
        shown = await daemon.show("train")
        assert (shown.memory.limit, shown.asked) == (room(9), None)

    live(world, state, story)
