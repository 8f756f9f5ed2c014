# SPDX-License-Identifier: Apache-2.0
"""What the daemon does for one call, counted, as shares become many. No time is measured."""

import sqlite3

import pytest

from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.scheduler.placing import line
from support.world.session import ME, STRANGER, live


class Count:
    def __init__(self) -> None:
        self.calls = 0


@pytest.fixture
def evaluations(monkeypatch):
    """How often the scheduler looks whether a waiting unit fits."""
    count, assign = Count(), line.assign

    def counted(*arguments):
        count.calls += 1
        return assign(*arguments)

    monkeypatch.setattr(line, "assign", counted)
    return count


@pytest.fixture
def statements(monkeypatch):
    """How many statements SQLite runs; ask for it before the daemon."""
    count, connect = Count(), sqlite3.connect

    def counted(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda _: setattr(count, "calls", count.calls + 1))
        return connection

    monkeypatch.setattr(sqlite3, "connect", counted)
    return count


async def _queued(daemon, waiting: int) -> None:
    """One share has the GPU, and so many wait, all different."""
    await daemon.run(80)
    for number in range(waiting):
        await daemon.create(20 + number % 50, name=f"q{number}")


async def _cost_of_create(daemon, count: Count) -> int:
    before = count.calls
    await daemon.create(19, name="new")
    return count.calls - before


@pytest.mark.parametrize("waiting", [3, 120])
def test_a_new_share_is_evaluated_without_those_that_wait_already(
    world, state, evaluations, waiting
):
    async def story(daemon):
        await _queued(daemon, waiting)
        assert await _cost_of_create(daemon, evaluations) <= 6

    live(world, state, story)


def test_a_pass_evaluates_nothing_while_nothing_has_changed(world, state, evaluations):
    async def story(daemon):
        await _queued(daemon, 40)
        await daemon.tick(times=2)
        before = evaluations.calls
        await daemon.tick(times=3)
        assert evaluations.calls == before

    live(world, state, story)


def test_a_new_share_needs_as_many_statements_whatever_waits(world, state, statements):
    async def story(daemon):
        await _queued(daemon, 3)
        few = await _cost_of_create(daemon, statements)
        for number in range(60):
            await daemon.create(20, name=f"more{number}")
        before = statements.calls
        await daemon.create(19, name="newest")
        assert statements.calls - before <= few + 2

    live(world, state, story)


def test_calls_that_read_need_no_statement(world, state, statements):
    async def story(daemon):
        for number in range(5):
            await daemon.create(8, name=f"s{number}")
        before = statements.calls
        await daemon.service.shares(ME)
        await daemon.service.shares(STRANGER)
        await daemon.service.metrics(ME)
        assert statements.calls == before

    live(world, state, story)


def test_a_list_is_made_once_while_nothing_changes(world, state):
    async def story(daemon):
        await daemon.run(8, name="one")
        first = await daemon.service.shares(ME)
        assert await daemon.service.shares(ME) is first
        assert await daemon.service.shares(STRANGER) is not first
        await daemon.create(8, name="two")
        assert [share.name for share in await daemon.service.shares(ME)] == ["one", "two"]
        world.clock.pass_by(1)
        assert await daemon.service.shares(ME) is not first

    live(world, state, story)


def test_turns_are_looked_for_only_after_a_change(world, state, monkeypatch):
    """They are asked for several times a second, between passes."""
    count, groups = Count(), MemoryTurns._groups  # noqa: SLF001 (counted)

    def counted(turns):
        count.calls += 1
        return groups(turns)

    monkeypatch.setattr(MemoryTurns, "_groups", counted)

    async def story(daemon):
        await daemon.run(8, name="one")
        await daemon.core.take_turns()
        before = count.calls
        for _ in range(5):
            await daemon.core.take_turns()
        assert count.calls == before
        await daemon.create(8, name="two")
        await daemon.core.take_turns()
        assert count.calls == before + 1

    live(world, state, story)


def test_a_rolled_back_change_is_not_remembered(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8, name="one")
        store = daemon.store

        def fail() -> None:
            with store.transaction():
                store.shares.update(share.id, reason="wrong")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.shares.get(share.id).reason == ""
        assert [it.reason for it in store.shares.living()] == [""]

    live(world, state, story)
