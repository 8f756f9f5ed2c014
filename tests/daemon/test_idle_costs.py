# SPDX-License-Identifier: Apache-2.0
"""What a pass does for shares of which nothing changes, counted; and that what changes after many
such passes is still seen. No time is measured."""

import pytest

from gpushare.daemon.acts import peers
from gpushare.daemon.loop import escapes, upkeep
from gpushare.daemon.observe import observer
from gpushare.daemon.policies import profiler, usage
from gpushare.daemon.services import share_views
from gpushare.guard.memo import Memo
from gpushare.hardware.linux import census
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Proof
from gpushare.store.usage import Usage
from support.world.session import ME, live

SHARES = 6
QUIET = 4  # passes until all is known


class Counts(dict[str, int]):
    """How often each of the watched functions was called."""

    def watch(self, monkeypatch, place, name: str) -> None:
        watched = getattr(place, name)
        self[name] = 0

        def counted(*arguments, **options):
            self[name] += 1
            return watched(*arguments, **options)

        monkeypatch.setattr(place, name, counted)

    def clear_all(self) -> None:
        for name in self:
            self[name] = 0


@pytest.fixture
def work(monkeypatch):
    """What is done for each share, or each process, that has changed."""
    counts = Counts()
    counts.watch(monkeypatch, observer, "bounded")
    counts.watch(monkeypatch, census, "parse_stat")
    counts.watch(monkeypatch, census.Census, "descendants")
    counts.watch(monkeypatch, escapes, "GpuUse")
    counts.watch(monkeypatch, profiler, "_look")
    counts.watch(monkeypatch, upkeep, "activity_sample")
    counts.watch(monkeypatch, usage, "rate")
    counts.watch(monkeypatch, peers, "by_user")
    return counts


async def _quiet(daemon, count: int = SHARES) -> list:
    runs = [await daemon.run(8, name=f"s{number}") for number in range(count)]
    await daemon.tick(times=QUIET)
    return runs


def test_a_pass_makes_nothing_again_for_shares_that_have_not_changed(world, state, work):
    async def story(daemon):
        await _quiet(daemon)
        work.clear_all()
        await daemon.tick(times=3)
        assert work == dict.fromkeys(work, 0)

    live(world, state, story)


def test_a_pass_makes_again_what_concerns_the_share_that_has_changed(world, state, work):
    async def story(daemon):
        (_, process), *_ = await _quiet(daemon)
        work.clear_all()
        child = world.spawn(process.pid)
        await daemon.tick()
        assert child.pid in (await daemon.show("s0")).pids
        assert work["parse_stat"] == 1
        assert work["bounded"] == 1
        assert work["descendants"] <= 2
        assert work["activity_sample"] == 1

    live(world, state, story)


def test_a_tenant_is_charged_once_a_pass_however_many_shares_it_has(world, state, monkeypatch):
    charged, add = [], Usage.add

    def counted(usage_, charges, until):
        charged.append(len(tuple(charges)))
        add(usage_, charges, until)

    async def story(daemon):
        await _quiet(daemon)
        monkeypatch.setattr(Usage, "add", counted)
        before = daemon.store.usage.within(world.clock.now(), Policy().period)
        await daemon.tick(10)
        assert charged == [1]
        after = daemon.store.usage.within(world.clock.now(), Policy().period)
        # Each has a tenth of the memory, and an equal part of the compute, which is more.
        assert sum(after.values()) - sum(before.values()) == pytest.approx(10)

    live(world, state, story)


def test_no_process_is_looked_up_for_what_is_shown_while_descriptors_watch_all(
    world, state, monkeypatch
):
    async def story(daemon):
        await _quiet(daemon)
        monkeypatch.setattr(daemon.parts.ports.processes, "alive", None)
        world.clock.pass_by(60)
        assert [len(share.pids) for share in await daemon.service.shares(ME)] == [1] * SHARES

    live(world, state, story)


def test_views_are_made_again_only_for_shares_that_have_changed(world, state, monkeypatch):
    counts = Counts()
    counts.watch(monkeypatch, share_views, "share_view")

    async def story(daemon):
        (_, process), *_ = await _quiet(daemon)
        await daemon.service.shares(ME)
        counts.clear_all()
        world.clock.pass_by(10)
        assert len(await daemon.service.shares(ME)) == SHARES
        await daemon.service.show("s1", ME)
        assert counts["share_view"] == 0
        child = world.spawn(process.pid)
        await daemon.tick()
        assert child.pid in (await daemon.service.shares(ME))[0].pids
        assert counts["share_view"] == 1

    live(world, state, story)


def test_a_proof_is_shown_and_does_not_count_as_a_change_of_the_records(world, state):
    async def story(daemon):
        await _quiet(daemon, 1)
        (share,), before = daemon.store.shares.living(), daemon.store.generation
        proof = Proof(at=world.clock.now(), checks=())
        daemon.store.shares.note(share.id, proof)
        assert daemon.store.generation == before
        assert (await daemon.service.show("s0", ME)).proof == proof

    live(world, state, story)


def test_a_memo_of_bounded_size_forgets():
    memo: Memo[int, object] = Memo(2)
    first = memo.of(1, (1,), object)
    assert memo.of(1, (1,), object) is first
    for key in range(2, 9):
        memo.of(key, (1,), object)
    assert memo.of(1, (1,), object) is not first


# What changes after passes in which nothing did.


def test_a_grandchild_that_begins_later_is_found_by_its_descent_alone(world, state):
    world.with_cgroups = False

    async def story(daemon):
        (_, process), *_ = await _quiet(daemon, 2)
        child = world.bare(process)
        await daemon.tick(times=QUIET)
        assert (await daemon.show("s0")).pids == (process.pid, child.pid)
        grandchild = world.bare(child)
        await daemon.tick()
        assert (await daemon.show("s0")).pids == (process.pid, child.pid, grandchild.pid)

    live(world, state, story)


def test_a_child_that_leaves_an_older_session_is_found(world, state):
    """In an older session it is taken for an orphan that its parent has only adopted."""
    world.with_cgroups = False
    leader = world.spawn()

    async def story(daemon):
        (_, process), *_ = await _quiet(daemon, 1)
        child = world.spawn(process.pid, {"GPUSHARE_SHARE": ""}, session=leader.pid)
        await daemon.tick(times=QUIET)
        assert (await daemon.show("s0")).pids == (process.pid,)
        stat = world.root / "proc" / str(child.pid) / "stat"
        stat.write_text(stat.read_text().replace(f" 0 {leader.pid} 0", " 0 0 0"))
        await daemon.tick()
        assert (await daemon.show("s0")).pids == (process.pid, child.pid)

    live(world, state, story)


def test_a_process_that_the_region_names_before_it_can_be_seen_is_found(world, state):
    async def story(daemon):
        await _quiet(daemon, 1)
        world.claimed = (70_000,)
        await daemon.tick(times=QUIET)
        late = world.spawn(pid=70_000)
        await daemon.tick()
        assert late.pid in (await daemon.show("s0")).pids

    live(world, state, story)


def test_a_share_whose_last_program_ends_later_is_released(world, state):
    async def story(daemon):
        (_, process), (_, other) = await _quiet(daemon, 2)
        world.end(process)
        await daemon.tick()
        assert await daemon.state("s0") == "released"
        assert (await daemon.show("s1")).pids == (other.pid,)

    live(world, state, story)


def test_a_pid_that_another_process_has_now_is_no_longer_of_the_share(world, state):
    async def story(daemon):
        (_, process), *_ = await _quiet(daemon, 1)
        child = world.spawn(process.pid)
        await daemon.tick(times=QUIET)
        world.end(child)
        world.spawn(pid=child.pid)
        await daemon.tick()
        assert (await daemon.show("s0")).pids == (process.pid,)

    live(world, state, story)


def test_an_escape_that_begins_later_is_seen_at_the_second_look(world, state):
    async def story(daemon):
        (_, process), *_ = await _quiet(daemon, 2)
        world.occupy(world.bare(process), 1)
        await daemon.tick(times=2)
        assert (await daemon.show("s0")).escape.active
        await daemon.tick(times=QUIET)
        assert (await daemon.show("s0")).escape.active
        assert (await daemon.show("s1")).escape is None

    live(world, state, story)
