# SPDX-License-Identifier: Apache-2.0
"""GPU time in the records: nothing is lost, and what is long ago weighs less."""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.model.errors import StateFullError
from gpushare.model.ids import Tenant
from gpushare.store import Charge, Store

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
LAB, ANA = Tenant("lab"), Tenant("ana")
HOUR, DAY = 3600, 86400


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


def add(store, tenant, seconds, ago=0, now=NOW):
    charge = Charge(tenant=tenant, at=now - timedelta(seconds=ago), seconds=seconds)
    store.usage.add([charge], now)


def test_seconds_of_one_hour_add_up(store):
    add(store, LAB, 10)
    add(store, LAB, 20.5, ago=60)
    add(store, ANA, 1)

    assert store.usage.within(NOW, DAY) == {LAB: 30.5, ANA: 1}


def test_what_is_older_than_the_period_does_not_count(store):
    add(store, LAB, 10, ago=2 * DAY)
    add(store, LAB, 5, ago=HOUR)

    assert store.usage.within(NOW, DAY) == {LAB: 5}
    assert store.usage.within(NOW + timedelta(days=1), DAY) == {}
    assert store.usage.within(NOW, 3 * DAY) == {LAB: 15}


def test_a_sum_that_was_asked_for_grows_with_what_comes(store):
    add(store, LAB, 10)
    assert store.usage.within(NOW, DAY) == {LAB: 10}
    add(store, LAB, 7, ago=2 * DAY)
    add(store, LAB, 1)

    assert store.usage.within(NOW, DAY) == {LAB: 11}


def test_after_a_half_life_half_is_left(store):
    assert store.usage.decayed(NOW, DAY) == {}
    add(store, LAB, 100)

    assert store.usage.decayed(NOW + timedelta(days=1), DAY) == {LAB: pytest.approx(50)}
    assert store.usage.decayed(NOW + timedelta(days=3), DAY) == {LAB: pytest.approx(12.5)}


def test_a_short_half_life_is_exact_while_the_daemon_lives(store):
    store.usage.decayed(NOW, 60)
    add(store, LAB, 100)

    assert store.usage.decayed(NOW + timedelta(seconds=60), 60)[LAB] == pytest.approx(50)


@given(
    charges=st.lists(
        st.tuples(st.integers(0, 30 * DAY), st.floats(0, 1e5, allow_subnormal=False)), max_size=20
    )
)
def test_a_restart_changes_sums_by_less_than_an_hour_of_decay(tmp_path_factory, charges):
    folder = tmp_path_factory.mktemp("books")
    first = Store(folder)
    first.usage.decayed(NOW - timedelta(days=31), 7 * DAY)
    for ago, seconds in charges:
        add(first, LAB, seconds, ago=ago)
    before = first.usage.decayed(NOW, 7 * DAY).get(LAB, 0.0)
    first.close()

    second = Store(folder)
    after = second.usage.decayed(NOW, 7 * DAY).get(LAB, 0.0)
    whole = second.usage.within(NOW, 40 * DAY).get(LAB, 0.0)
    second.close()

    assert whole == pytest.approx(sum(seconds for _, seconds in charges))
    assert before == pytest.approx(after, rel=0.005)


def test_a_clock_that_is_set_back_loses_nothing(store):
    add(store, LAB, 100)
    store.usage.decayed(NOW + timedelta(days=300), DAY)
    back = NOW - timedelta(hours=5)
    add(store, LAB, 1, now=back)

    assert store.usage.decayed(back, DAY)[LAB] == pytest.approx(101)
    assert store.usage.within(back, DAY)[LAB] == 101


def test_a_clock_that_was_wrong_for_a_while_makes_nothing_forgotten(store):
    add(store, LAB, 100)
    add(store, LAB, 1, now=NOW + timedelta(days=3650))
    store.usage.forget(DAY)

    assert store.usage.within(NOW, DAY)[LAB] == 101


def test_only_the_newest_hours_are_kept(store, tmp_path):
    for hour in range(100):
        add(store, LAB, 1, ago=hour * HOUR)
        add(store, ANA, 2, ago=hour * HOUR)
    store.usage.forget(DAY)

    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as file:
        kept = file.execute("SELECT count(DISTINCT hour), count(*) FROM usage").fetchone()
    assert kept == (26, 52)
    assert store.usage.within(NOW, DAY) == {LAB: 24, ANA: 48}


def test_it_knows_until_when_all_is_in(store, tmp_path):
    assert store.usage.until() is None
    add(store, LAB, 1)
    assert store.usage.until() == NOW


def test_a_full_disk_adds_all_or_nothing(disk, store):
    add(store, LAB, 1)
    store.usage.decayed(NOW, DAY)
    disk.fill()
    many = [Charge(tenant=Tenant(f"t{n}" * 50), at=NOW, seconds=1) for n in range(500)]

    with pytest.raises(StateFullError):
        store.usage.add(many, NOW + timedelta(hours=1))

    assert store.usage.within(NOW, DAY) == {LAB: 1}
    assert store.usage.decayed(NOW, DAY) == {LAB: pytest.approx(1, rel=0.1)}
    assert store.usage.until() == NOW
