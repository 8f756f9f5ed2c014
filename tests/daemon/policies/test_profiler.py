# SPDX-License-Identifier: Apache-2.0
"""How fast programs are alone and next to each other."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.daemon.policies.profiler import ShareOnGpu, compare
from gpushare.guard import Rank, SharePolicy, ShareSlot
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.profile import Profile
from gpushare.model.units import GIB, Bytes
from gpushare.store.profiles import ENOUGH, KEPT
from support.world.session import live

GPU = GpuId("GPU-0")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def look(name: str, launches: int | None, **more) -> ShareOnGpu:
    return ShareOnGpu(share=ShareId(name), program=f"{name}.py", launches=launches, **more)


def pairs(before, now, seconds: float = 5.0) -> dict[tuple[str, str], float]:
    return {(p.program, p.beside): p.work / p.seconds for p in compare(before, now, seconds)}


def test_alone_is_alone():
    assert pairs([look("a", 10)], [look("a", 60)]) == {("a.py", ""): 10.0}


def test_a_neighbour_that_launches_nothing_is_none():
    assert pairs([look("a", 0), look("b", 7)], [look("a", 50), look("b", 7)]) == {("a.py", ""): 10}


def test_two_that_work_are_seen_from_both_sides():
    found = pairs([look("a", 0), look("b", 0)], [look("a", 50), look("b", 20)])
    assert found == {("a.py", "b.py"): 10.0, ("b.py", "a.py"): 4.0}


def test_three_tell_nothing_of_a_pair():
    names = "abc"
    assert not pairs([look(n, 0) for n in names], [look(n, 5) for n in names])


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([look("a", 0)], [look("a", 5), look("b", 5)]),
        ([look("a", 0), look("b", 0)], [look("a", 5), look("b", None)]),
        ([look("a", 9), look("b", 0)], [look("a", 5), look("b", 0)]),
    ],
    ids=["a new program", "a program that is not counted", "a counter that went back"],
)
def test_what_is_not_known_for_the_whole_time_is_not_kept(before, now):
    assert not pairs(before, now)


def test_a_pace_that_is_set_by_a_limit_or_a_priority_is_not_the_neighbours_doing():
    limited = pairs(
        [look("a", 0, paced=True), look("b", 0)], [look("a", 5, paced=True), look("b", 5)]
    )
    assert set(limited) == {("b.py", "a.py")}
    behind = pairs(
        [look("a", 0, rank=Rank.LOW), look("b", 0, rank=Rank.HIGH)],
        [look("a", 5, rank=Rank.LOW), look("b", 5, rank=Rank.HIGH)],
    )
    assert set(behind) == {("b.py", "a.py")}


def test_who_has_no_name_is_nobodys_neighbour():
    nameless = ShareOnGpu(share=ShareId("x"), program="", launches=0)
    assert not pairs(
        [nameless, look("a", 0)],
        [ShareOnGpu(share=ShareId("x"), program="", launches=9), look("a", 5)],
    )


looks = st.lists(
    st.builds(
        ShareOnGpu,
        share=st.sampled_from("abcd").map(ShareId),
        program=st.sampled_from(["", "x", "y"]),
        launches=st.none() | st.integers(0, 9),
        rank=st.sampled_from(Rank),
        paced=st.booleans(),
    ),
    unique_by=lambda one: one.share,
)


@given(looks, looks)
def test_no_two_looks_break_it_and_all_work_is_real(before, now):
    counted = {one.share: one.launches for one in before}
    done = [(one.launches or 0) - (counted.get(one.share) or 0) for one in now]
    for profile in compare(before, now, 5.0):
        assert profile.program
        assert profile.work in done
        assert profile.work > 0


def share_slots(launches: int) -> Observation:
    slot = ShareSlot(number=0, policy=SharePolicy(share="x"), launches=launches)
    return Observation(share_slots={GPU: slot}, peak={GPU: Bytes(3 * GIB)}, used={GPU: Bytes(GIB)})


def test_passes_add_up_and_the_end_of_a_run_is_kept(world, state):
    async def story(daemon):
        _, process = await daemon.run(8)
        for number in range(1, 11):
            world.counted["train"] = share_slots(number * 50)
            await daemon.tick(5)
        (found,) = daemon.store.profiles.all()
        assert (found.program, found.beside) == ("train.py", "")
        assert (found.seconds, found.work) == (45.0, 450.0)
        world.end(process)
        await daemon.tick(5)
        (runs,) = daemon.store.profiles.runs()
        assert (runs.program, runs.count, runs.peak) == ("train.py", 1, 3 * GIB)
        assert runs.seconds == runs.longest == 55.0

    live(world, state, story)


def test_strangers_on_the_gpu_and_long_pauses_tell_nothing(world, state):
    async def story(daemon):
        await daemon.run(8)
        world.occupy(world.spawn(), 1)
        for number in range(1, 5):
            world.counted["train"] = share_slots(number * 50)
            await daemon.tick(5)
        assert not daemon.store.profiles.all()

    live(world, state, story)

    async def later(daemon):
        for number in range(5, 9):
            world.counted["train"] = share_slots(number * 50)
            await daemon.tick(500)
        assert not daemon.store.profiles.all()

    live(world, state, later)


def test_what_is_old_counts_less_and_the_rate_stays(store):
    one = Profile(program="a", beside="", seconds=600.0, work=6000.0)
    for number in range(200):
        store.profiles.add([one], NOW + timedelta(minutes=number))
    (found,) = store.profiles.all()
    assert found.seconds <= ENOUGH
    assert found.work / found.seconds == pytest.approx(10.0)
    slow = Profile(program="a", beside="", seconds=600.0, work=600.0)
    for number in range(200, 400):
        store.profiles.add([slow], NOW + timedelta(minutes=number))
    (found,) = store.profiles.all()
    assert found.work / found.seconds < 1.2


def test_the_book_is_bounded(store):
    many = [Profile(program=f"p{n}", beside="", seconds=1.0, work=1.0) for n in range(KEPT)]
    store.profiles.add(many, NOW)
    last = Profile(program="last", beside="", seconds=1.0, work=1.0)
    store.profiles.add([last, last], NOW + timedelta(seconds=1))
    names = {profile.program for profile in store.profiles.all()}
    assert len(names) <= KEPT + 1
    assert "last" in names


def test_runs_of_a_program_add_up(store):
    store.profiles.ended("a", 10.0, None, NOW)
    store.profiles.ended("a", 30.0, Bytes(5), NOW + timedelta(hours=1))
    (runs,) = store.profiles.runs()
    assert (runs.count, runs.seconds, runs.longest, runs.peak) == (2, 40.0, 30.0, 5)
    assert runs.last == NOW + timedelta(hours=1)
