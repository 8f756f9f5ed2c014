# SPDX-License-Identifier: Apache-2.0
"""What is an anomaly and what is not: the rules alone, on a clock of their own."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.daemon.loop import monitor
from gpushare.daemon.loop.monitor import RefusedAllocations
from gpushare.daemon.policies.anomalies import HOUR, Anomalies, AnomalyKind, ShareSample
from gpushare.daemon.policies.hysteresis import Alarm, Windows
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.access.role import Role
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.share import Caller
from gpushare.model.units import GIB, Bytes
from support.world.session import live

GPU = GpuId("GPU-0")


class Watch:
    """The rules and what they have reported."""

    def __init__(self) -> None:
        self.rules, self.now = Anomalies(), 1000.0
        self.look()  # the first look only notes what earlier daemons have counted

    def look(self, *samples: ShareSample, passed: float = 5.0, **more) -> list[AnomalyKind]:
        self.now += passed
        return [found.kind for found in self.rules.look(self.now, samples, **more)]


@pytest.fixture
def watch() -> Watch:
    return Watch()


def sample(name="a", **more) -> ShareSample:
    usual = {"tenant": Tenant("lab"), "user": "lin", "program": "train.py", "programs": True}
    return ShareSample(share=ShareId(name), name=name, **{**usual, "held": 100.0, **more})


def test_many_refused_allocations_are_reported_once(watch: Watch):
    told = [watch.look(sample(denied=number)) for number in range(0, 5000, 100)]

    assert told.count([AnomalyKind.PROBING]) == 1
    assert watch.rules.counts[AnomalyKind.PROBING] == 1


def test_a_few_refused_allocations_are_usual(watch: Watch):
    for number in range(500):
        assert watch.look(sample(denied=number)) == []


def test_what_an_old_share_counted_before_is_no_news(watch: Watch):
    assert watch.look(sample(denied=100_000)) == []
    assert watch.look(sample("young", denied=100_000, held=1.0)) == [AnomalyKind.PROBING]


def test_a_counter_that_is_set_back_is_no_refusal(watch: Watch):
    watch.look(sample(denied=1000))
    assert watch.look(sample(denied=0)) == []
    assert watch.look(sample(denied=100)) == []


def test_probing_is_reported_again_after_it_was_calm(watch: Watch):
    def probe() -> list[AnomalyKind]:
        for _ in range(20):
            watch.rules.refused(watch.now, "lin")
        return watch.look()

    assert probe() == [AnomalyKind.PROBING]
    assert probe() == []
    for _ in range(200):
        assert watch.look() == []
    assert probe() == [AnomalyKind.PROBING]


def test_refusals_of_many_users_are_not_one_users(watch: Watch):
    for number in range(100):
        watch.rules.refused(watch.now, f"user{number}")

    assert watch.look() == []


def test_a_program_that_runs_out_of_memory_again_and_again_is_reported_once(watch: Watch):
    told = []
    for round_ in range(6):
        name = f"run-{round_}"
        told += watch.look(sample(name, denied=0, held=1.0))
        told += watch.look(sample(name, denied=2, held=6.0))
        told += watch.look(passed=1.0)

    assert told == [AnomalyKind.MEMORY]


def test_a_program_that_ends_between_two_looks_counts_too(watch: Watch):
    ended = (sample(f"run-{n}", denied=1, held=1.0, programs=False) for n in range(3))
    told = [watch.look(each) for each in ended]

    assert told == [[], [], [AnomalyKind.MEMORY]]


def test_a_program_that_lives_on_after_a_refusal_is_well(watch: Watch):
    for number in range(60):
        assert watch.look(sample(denied=number)) == []
    watch.look(sample(denied=60), passed=40.0)
    assert watch.look(passed=100.0) == []


def test_two_users_of_one_program_are_two(watch: Watch):
    told = []
    for round_ in range(4):
        told += watch.look(sample(f"r{round_}", user=f"u{round_ % 2}", denied=1, held=1.0))
        told += watch.look()

    assert told == []


def steady(watch: Watch, samples: int = 30, **more) -> list[AnomalyKind]:
    told = []
    for number in range(samples):
        told += watch.look(sample(launches=number * 3000, used=Bytes(4 * GIB), **more), passed=30.0)
    return told


def after_steady(watch: Watch, samples: Iterable[ShareSample]) -> list[AnomalyKind]:
    """What is reported of them; nothing is reported of the steady time before."""
    assert steady(watch) == []
    return [kind for each in samples for kind in watch.look(each, passed=30.0)]


def test_a_share_that_suddenly_launches_much_more_is_reported(watch: Watch):
    launches = [29 * 3000 + number * 60_000 for number in range(1, 30)]
    busy = [sample(launches=number, used=Bytes(4 * GIB)) for number in launches]

    assert after_steady(watch, busy) == [AnomalyKind.PATTERN]


def test_a_share_that_suddenly_has_much_more_memory_is_reported(watch: Watch):
    large = [sample(launches=None, used=Bytes(30 * GIB))] * 5

    assert after_steady(watch, large) == [AnomalyKind.PATTERN]


def test_one_burst_is_no_change_of_pattern(watch: Watch):
    used = [30 if number % 5 == 0 else 4 for number in range(20)]

    assert after_steady(watch, [sample(used=Bytes(gib * GIB)) for gib in used]) == []


def test_who_has_no_habit_cannot_leave_it(watch: Watch):
    told = []
    for number in range(200):
        used = Bytes((1 + number * 7 % 23) * GIB)
        told += watch.look(sample(used=used, launches=number * number * 1000), passed=30.0)

    assert told == []


def test_a_share_that_was_idle_may_begin_to_work(watch: Watch):
    for _ in range(40):
        watch.look(sample(launches=5), passed=30.0)
    told = []
    for number in range(10):
        told += watch.look(sample(launches=number * 100_000), passed=30.0)

    assert told == []


def test_a_program_outside_every_share_is_reported_once_it_stays(watch: Watch):
    def strangers(*pids: int, passed: float = 5.0) -> list[AnomalyKind]:
        return watch.look(passed=passed, outside={GPU: frozenset(pids)})

    assert strangers(7) == []
    assert strangers(7) == []
    assert strangers(7, passed=10.0) == [AnomalyKind.OUTSIDE]
    assert strangers(7, 8) == []
    assert strangers(passed=100.0) == []
    assert strangers(9, passed=500.0) == []
    assert strangers(9, passed=100.0) == []
    strangers()
    strangers(passed=601.0)
    strangers(9)
    assert strangers(9, passed=20.0) == [AnomalyKind.OUTSIDE]


def test_programs_that_come_and_go_are_being_found_in_their_shares(watch: Watch):
    for pid in range(100):
        assert watch.look(outside={GPU: frozenset((pid,))}) == []


def test_a_tenant_at_its_limit_for_hours_is_reported_once(watch: Watch):
    told = []
    for _ in range(10):
        told += watch.look(passed=HOUR, quota_use={Tenant("lab"): 0.97, Tenant("other"): 0.9})

    assert told == [AnomalyKind.EDGE]


def test_a_tenant_that_touches_its_limit_is_not(watch: Watch):
    told = []
    for number in range(20):
        told += watch.look(passed=HOUR, quota_use={Tenant("lab"): 1.0 if number % 3 else 0.5})

    assert told == []


def circle(watch: Watch, rounds: int, **more) -> list[AnomalyKind]:
    told = []
    for number in range(rounds):
        told += watch.look(sample(f"s{number}", **more), passed=60.0, min_runtime=60.0)
    return told


def test_a_tenant_that_dodges_reclaim_is_reported_once(watch: Watch):
    assert circle(watch, 30, held=55.0, crowded=True) == [AnomalyKind.EDGE]


@pytest.mark.parametrize(
    "usual",
    [
        {"held": 55.0, "crowded": False},  # no share waits
        {"held": 5.0, "crowded": True},  # short jobs
        {"held": 500.0, "crowded": True},  # long ones
    ],
)
def test_other_ways_to_come_and_go_are_no_dodge(watch: Watch, usual):
    assert circle(watch, 30, **usual) == []


def test_hits_are_reported_at_once_and_then_once_a_minute():
    hits, told = RefusedAllocations(), []
    assert list(hits.look(0.0, [])) == []
    for second in range(0, 130, 5):
        told += [n for _, n in hits.look(float(second), [sample(denied=second, held=1.0)])]

    assert told == [5, 60, 60]
    assert sum(told) == 125


def test_what_a_young_share_counted_before_the_first_look_is_not_reported():
    hits = RefusedAllocations()

    assert list(hits.look(0.0, [sample(denied=9, held=1.0)])) == []
    assert list(hits.look(5.0, [sample(denied=11, held=6.0)])) == [("a", 2)]


def test_hits_that_were_not_reported_are_reported_at_the_end():
    hits = RefusedAllocations()
    assert list(hits.look(0.0, [])) == []
    assert list(hits.look(0.0, [sample(denied=1, held=1.0)])) == [("a", 1)]
    assert list(hits.look(5.0, [sample(denied=4)])) == []
    assert list(hits.look(6.0, [])) == [("a", 3)]


@given(
    st.lists(st.tuples(st.floats(0.01, 30.0), st.integers(1, 9)), max_size=200),
)
def test_a_window_never_counts_more_than_there_was_nor_forgets_the_newest(steps):
    windows, now, everything = Windows(60.0), 0.0, []
    for passed, number in steps:
        now += passed
        windows.add("k", now, number)
        everything.append((now, number))
    found = windows.totals(now).get("k", 0)

    assert found <= sum(n for at, n in everything if at > now - 61.0)
    assert found >= sum(n for at, n in everything if at > now - 59.0)


@given(st.lists(st.tuples(st.floats(0.1, 100.0), st.booleans()), max_size=100))
def test_an_alarm_does_not_ring_twice_without_calm_between(steps):
    alarm, now, rang, calm, longest = Alarm(60.0), 0.0, False, 0.0, 0.0
    for passed, high in steps:
        now += passed
        calm = 0.0 if high else calm + passed
        if alarm.rings("k", now, high=high, low=not high):
            assert not rang or longest >= 60.0
            rang, longest = True, 0.0
        elif rang:
            longest = max(longest, calm)


def seen(here, monkeypatch, **observation) -> None:
    """What the mechanisms see of every share from now on."""
    here.seen = {**getattr(here, "seen", {}), **observation}
    observer = here.parts.observer
    monkeypatch.setattr(observer, "last", lambda _: Observation(**here.seen))
    observer.generation += 1


def events(here, *prefixes: str) -> list[str]:
    return [e.type for e in here.store.events.since(0) if e.type.startswith(prefixes)]


def test_a_daemon_tells_limit_hits_and_probing(world, state, monkeypatch):
    async def story(here) -> None:
        share, _ = await here.run(8)
        for number in range(0, 600, 100):
            seen(here, monkeypatch, denied=number)
            await here.tick()
        assert events(here, "share.denied", "anomaly.") == ["share.denied", "anomaly.probing"]
        found = [e for e in here.store.events.since(0) if e.type == "anomaly.probing"]
        assert found[0].share == share.id

    live(world, state, story)


def test_a_daemon_tells_programs_outside_shares(world, state):
    async def story(here) -> None:
        stranger = here.world.spawn()
        here.world.occupy(stranger, 2)
        for _ in range(10):
            await here.tick(10)
        assert events(here, "anomaly.") == []
        _, process = await here.run(8)
        here.world.occupy(process, 2)
        for _ in range(10):
            await here.tick(10)
        assert events(here, "anomaly.") == ["anomaly.outside"]
        [found] = [e for e in here.store.events.since(0) if e.type == "anomaly.outside"]
        assert str(stranger.pid) in found.message
        assert str(process.pid) not in found.message

    live(world, state, story)


def test_a_daemon_tells_tenants_at_their_limit(world, state):
    limited = TenantSpec(limit=Amount(memory=Bytes(8 * GIB)))

    async def story(here) -> None:
        here.store.policy.put(Policy(default=limited), "root", here.world.clock.now())
        await here.run(8)
        for _ in range(10):
            await here.tick(3600)
        assert events(here, "anomaly.") == ["anomaly.quota-edge"]

    live(world, state, story)


def test_a_daemon_counts_refusals_that_time_does_not_heal(world, state):
    caller = Caller(uid=4242, gid=4242, pid=1, role=Role.USER)

    async def story(here) -> None:
        for code in ("GS1702", "GS1703", "GS1201"):
            for _ in range(50):
                here.parts.monitor.refused(caller, code)
        await here.tick()
        assert events(here, "anomaly.") == []
        for code in ("GS1303", "GS1701"):
            for _ in range(10):
                here.parts.monitor.refused(caller, code)
        await here.tick()
        assert events(here, "anomaly.") == ["anomaly.probing"]
        assert b'gpushare_anomalies_total{kind="probing"} 1.0' in await here.service.metrics(
            replace(caller, uid=0, role=Role.ADMIN)
        )

    live(world, state, story)


def test_looking_is_quick_when_there_is_nothing(world, state, monkeypatch):
    """A pass without limits asks no quotas."""

    async def story(here) -> None:
        await here.run(8)
        monkeypatch.setattr(monitor, "quotas", pytest.fail)
        for _ in range(5):
            await here.tick(100)

    live(world, state, story)
