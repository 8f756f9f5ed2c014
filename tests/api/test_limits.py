# SPDX-License-Identifier: Apache-2.0
"""Rate limits, and waiting times after failed authentication."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.api.limits import FREE_FAILURES, LONGEST_WAIT, MOST, Buckets, Failures, network
from gpushare.model.errors import RateLimitedError


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def taken(buckets: Buckets, caller: str) -> bool:
    try:
        buckets.take(caller)
    except RateLimitedError:
        return False
    return True


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 3), max_size=200),
)
def test_no_caller_gets_more_than_burst_and_rate(rate, burst, pauses):
    clock = Clock()
    buckets = Buckets(rate, burst, clock)
    passed = 0
    for pause in pauses:
        clock.seconds += pause
        passed += taken(buckets, "a")
        assert passed <= burst + clock.seconds * rate + 1e-6


@given(burst=st.integers(1, 50), rate=st.floats(0.5, 100))
def test_a_caller_who_waits_as_long_as_stated_gets_through(burst, rate):
    clock = Clock()
    buckets = Buckets(rate, burst, clock)
    for _ in range(burst):
        buckets.take("a")
    with pytest.raises(RateLimitedError) as refused:
        buckets.take("a")
    buckets.take("b")
    clock.seconds += refused.value.after
    buckets.take("a")


def test_without_a_rate_there_is_no_limit():
    buckets = Buckets(0, 1, Clock())
    assert all(taken(buckets, "a") for _ in range(1000))


def test_failures_cost_longer_and_longer_up_to_a_minute_and_are_forgiven():
    clock, waits = Clock(), []
    failures = Failures(clock)
    for _ in range(FREE_FAILURES + 12):
        try:
            failures.check("10.0.0.1")
        except RateLimitedError as error:
            waits.append(error.after)
            clock.seconds += error.after
        failures.add("10.0.0.1")
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[7:]) == {int(LONGEST_WAIT)}
    failures.check("10.0.0.2")
    clock.seconds += 601
    failures.check("10.0.0.1")


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_prefix_are_one_network(address, host):
    other = int(address) >> 64 << 64 | host
    if not address.ipv4_mapped and other >> 32 != 0xFFFF:
        assert network(str(address)) == network(str(type(address)(other)))


def test_addresses_that_are_none_stand_for_themselves():
    assert network("10.0.0.1") == "10.0.0.1"
    assert network("::ffff:10.0.0.1") == "10.0.0.1"
    assert network("fe80::1%eth0") == "fe80::"
    assert network("lab") == "lab"


def test_only_the_newest_callers_are_remembered():
    buckets = Buckets(1, 1, Clock())
    for number in range(MOST + 1):
        buckets.take(str(number))
    assert not taken(buckets, str(MOST))
    assert taken(buckets, "0"), "the one that asked longest ago is forgotten"


def test_only_the_newest_failures_are_remembered():
    failures = Failures(Clock())
    for _ in range(FREE_FAILURES):
        failures.add("10.0.0.1")
    for number in range(MOST):
        failures.add(f"stranger-{number}")
    failures.check("10.0.0.1")


def test_a_long_pause_saves_up_no_more_than_a_burst():
    clock = Clock()
    buckets = Buckets(10, 3, clock)
    buckets.take("a")
    clock.seconds += 3600
    assert [taken(buckets, "a") for _ in range(5)] == [True, True, True, False, False]
