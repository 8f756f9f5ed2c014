# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks make of what they saw: percentiles, intervals, progress, limits."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu.colocation import configurations
from benchmarks.gpu.colocation.arrivals import poisson
from benchmarks.gpu.colocation.progress import Profile, Trace
from benchmarks.gpu.colocation.stats import Window, compare, interval, mean_pace, p99

PER_STEP, STEP_S = 4, 0.02


def window(service_s: float, *, requests: int = 400, mhz: float | None = 1980.0) -> Window:
    """A hundred requests a second, each begun at its arrival."""
    arrivals = 5.0 + np.arange(requests) / 100
    return Window(
        arrivals=arrivals,
        starts=arrivals,
        ends=arrivals + service_s,
        begin=5.0,
        end=5.0 + requests / 100,
        offered=requests,
        wrong=0,
        saturated=False,
        pace={"sm_mhz": mhz},
    )


def trace(rate_of: list[tuple[float, float]]) -> Trace:
    """Marks of a job that has (until, rate) of its throughput alone, from second 0 on."""
    times, marks, at, done = [0.0], [0.0], 0.0, 0.0
    per_second = PER_STEP / STEP_S
    for until, rate in rate_of:
        count = round((until - at) * rate * per_second)
        times += [at + (i + 1) / (rate * per_second) for i in range(count)]
        marks += [done + i + 1 for i in range(count)]
        at, done = until, done + count
    return Trace(np.asarray(times), np.asarray(marks))


PROFILE = Profile.of(trace([(2.0, 1.0)]), PER_STEP)


def test_a_ratio_is_of_percentiles_and_of_each_seed() -> None:
    found = compare([window(0.004), window(0.004)], [window(0.002), window(0.001)], "service")
    assert found["p99_ratio"] == 2.0
    assert found["by_seed"] == [2.0, 4.0]
    assert found["low"] <= 2.0 <= found["high"]
    assert (found["p5_ms"], found["solo_p50_ms"]) == (4.0, 1.5)


def test_response_counts_from_the_arrival() -> None:
    late = window(0.002)
    late = Window(**{**vars(late), "starts": late.starts + 0.003, "ends": late.ends + 0.003})
    assert p99(late.times("service")) == pytest.approx(0.002)
    assert p99(late.times("response")) == pytest.approx(0.005)


def test_blocks_are_whole_seconds_and_lose_no_request() -> None:
    assert [len(block) for block in window(0.001, requests=250).blocks("service")] == [100, 100, 50]


@settings(max_examples=10)  # each draws and sorts a thousand times
@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=8))
def test_equal_blocks_have_an_interval_of_one(levels: list[float]) -> None:
    blocks = [np.full(50, level) for level in levels]
    assert interval(blocks, blocks) == (1.0, 1.0)


def test_a_clock_that_one_window_does_not_know_is_not_known() -> None:
    assert mean_pace([window(1, mhz=1900.0), window(1, mhz=1980.0)]) == {"sm_mhz": 1940.0}
    assert mean_pace([window(1, mhz=1900.0), window(1, mhz=None)]) == {"sm_mhz": None}


@given(st.floats(0.05, 1.0))
def test_what_was_delivered_is_the_part_of_the_throughput_alone(rate: float) -> None:
    seen = trace([(3.0, rate)])
    assert PROFILE.step_s == pytest.approx(STEP_S)
    assert PROFILE.delivered(seen, 0.5, 2.5) == pytest.approx(rate, abs=0.01)


def test_too_few_steps_tell_nothing() -> None:
    with pytest.raises(ValueError, match="too few steps"):
        Profile.of(trace([(STEP_S * 2, 1.0)]), PER_STEP)


@given(st.floats(0.0, 0.3), st.sampled_from([(1.0, 0.25), (0.25, 0.75)]))
def test_a_change_that_comes_late_is_found_late(late: float, levels: tuple[float, float]) -> None:
    before, after = levels
    seen = trace([(1.0 + late, before), (4.0, after)])
    assert PROFILE.lag(seen, 1.0, before, after) == pytest.approx(late, abs=0.02)


def test_settling_is_seen_from_the_last_half_second() -> None:
    seen = trace([(1.0, 1.0), (4.0, 0.25)])
    found = PROFILE.settled(seen, 1.0, 0.25, 0.02)
    assert found["first_s"] == pytest.approx(0.5, abs=0.03)
    assert found["stays_s"] == pytest.approx(0.5, abs=0.03)
    assert PROFILE.settled(seen, 1.0, 0.75, 0.02) == {}


def test_arrivals_are_the_same_for_every_configuration_and_differ_by_seed() -> None:
    one, again, other = (poisson("bert", 500.0, 4.0, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert len(one) != len(other) or (one != other).any()
    assert len(one) == pytest.approx(2000, rel=0.1)
    assert one[-1] < 4.0


def test_a_variation_that_is_the_usual_is_measured_once() -> None:
    base = configurations.chosen(["mps", "gpushare/mps"])
    made = configurations.variants(base, [50, 150], [0, 300], [0, 80])
    varied = [(each.quantum_us, each.grace_us, each.slice_us) for each in made if each.guard]
    assert varied == [
        (50, 0, 80), (150, 0, 80), (150, 300, 80), (150, 0, 0),
    ]  # fmt: skip
    assert [each.name for each in made if not each.guard] == ["mps"]
