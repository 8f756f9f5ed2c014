# SPDX-License-Identifier: Apache-2.0
"""Compute limits and guarantees on a simulated GPU: turns are given, and go on whatever happens.

How turns are shared is tested on a fake clock (native/tests/guard/schedule). The slow tests here
compare the times that the arbiter counts with the limits; they need a machine with nothing else
to do.
"""

import os
import signal
import time

import pytest

from gpushare.guard.gpu_page import Rank, ShareSlot

from .test_gate import Tenants, finish, tenants

__all__ = ["tenants"]  # the fixture

KERNEL = "300000"
LONG = "6000000"
POINTS = 3
SECONDS = 1.5

slow = [
    pytest.mark.slow,
    pytest.mark.skipif("GPUSHARE_TEST_SLOW" not in os.environ, reason="GPUSHARE_TEST_SLOW=1"),
]


def in_turns(tenants: Tenants) -> None:
    tenants.until(lambda: tenants.page.snapshot().turns, "there are no turns")


def turns_go_on(tenants: Tenants, number: int, count: int) -> None:
    before = tenants.share_slot(number).turns
    tenants.until(
        lambda: tenants.share_slot(number).turns >= before + count, f"{number} gets no turns"
    )


def test_turns_are_given_while_there_is_a_limit(tenants: Tenants) -> None:
    programs = [
        tenants.start("work", LONG, limit=2500, request=2500),
        tenants.start("graph", KERNEL, request=2500),
        tenants.start("work", KERNEL),
    ]
    in_turns(tenants)
    for number in range(3):
        turns_go_on(tenants, number, 5)
        tenants.launches(number, 5)
    tenants.until(lambda: tenants.share_slot(0).overrun_ns > 0, "no overrun is seen")
    for slot in tenants.page.snapshot().share_slots:
        assert 0 < slot.open_ns <= slot.wanted_ns
    for number in range(3):
        tenants.change(number)
    tenants.until(lambda: not tenants.page.snapshot().turns, "turns do not end")
    assert [slot.gate for slot in tenants.page.snapshot().share_slots] == [0, 0, 0]
    assert min(map(finish, programs)) > 0


def test_a_share_that_takes_no_turns_any_more_is_let_in(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    freed = tenants.start("work", KERNEL, limit=1000, request=1000)
    tenants.until(lambda: tenants.share_slot(1).gate != 0, "its limit never keeps it out")
    tenants.change(1, rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).gate == 0, "it is not let in again")
    assert finish(freed) > 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_turns_go_on_when_their_arbiter_does_not(tenants: Tenants, end: signal.Signals) -> None:
    arbiter = tenants.start("work", KERNEL, limit=2500, request=2500)
    in_turns(tenants)
    tenants.start("work", KERNEL, limit=5000, request=5000)
    turns_go_on(tenants, 1, 2)
    arbiter.send_signal(end)
    turns_go_on(tenants, 1, 10)


def test_high_priority_work_without_a_limit_takes_no_turns(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    service = tenants.start("serve", KERNEL, "1000", rank=Rank.HIGH)
    in_turns(tenants)
    turns_go_on(tenants, 0, 5)
    tenants.launches(1, 10)
    assert (tenants.share_slot(1).waits, tenants.share_slot(1).turns) == (0, 0)
    assert finish(service) > 0


def test_no_work_is_lost_or_done_out_of_order(tenants: Tenants) -> None:
    job = tenants.start("order", "2000", limit=1000, request=1000)
    assert finish(job) == 2000
    assert tenants.share_slot(0).turns > 1


def share_of_time(before: ShareSlot, after: ShareSlot) -> float:
    """Percent of the time in which the share wanted the GPU that it had it."""
    used = after.open_ns + after.overrun_ns - before.open_ns - before.overrun_ns
    return 100 * used / (after.wanted_ns - before.wanted_ns)


def measured(tenants: Tenants, *numbers: int) -> list[float]:
    in_turns(tenants)
    time.sleep(0.5)
    before = [tenants.share_slot(number) for number in numbers]
    time.sleep(SECONDS)
    after = [tenants.share_slot(number) for number in numbers]
    return [share_of_time(b, a) for b, a in zip(before, after, strict=True)]


class TestShares:
    """Of real time, so that only the slow tier asserts them."""

    pytestmark = slow

    @pytest.mark.parametrize("work", ["work", "graph"])
    @pytest.mark.parametrize("percent", [10, 25, 50, 75])
    def test_a_limit_is_met_alone(self, tenants: Tenants, work: str, percent: int) -> None:
        job = tenants.start(work, KERNEL, limit=percent * 100, request=percent * 100)
        [share] = measured(tenants, 0)
        assert abs(share - percent) <= POINTS
        assert finish(job) > 0

    def test_a_share_without_a_limit_gets_what_is_left(self, tenants: Tenants) -> None:
        tenants.start("work", KERNEL, limit=2500, request=2500)
        tenants.start("work", KERNEL)
        limited, free = measured(tenants, 0, 1)
        assert abs(limited - 25) <= POINTS
        assert abs(free - 75) <= POINTS

    def test_an_idle_guarantee_is_lent_and_taken_back(self, tenants: Tenants) -> None:
        tenants.start("work", KERNEL, request=2500)
        [alone] = measured(tenants, 0)
        assert alone > 95
        owner = tenants.start("work", KERNEL, request=7500)
        lent, back = measured(tenants, 0, 1)
        assert abs(lent - 25) <= POINTS
        assert abs(back - 75) <= POINTS
        finish(owner)
        [again] = measured(tenants, 0)
        assert again > 95

    def test_overruns_into_other_turns_leave_no_gap(self, tenants: Tenants) -> None:
        for _ in range(2):
            tenants.start("work", LONG, limit=5000, request=5000)
        in_turns(tenants)
        time.sleep(0.5)
        slots = (0, 1)
        before, begun = sum(tenants.share_slot(n).open_ns for n in slots), time.monotonic_ns()
        time.sleep(2 * SECONDS)
        after, ended = sum(tenants.share_slot(n).open_ns for n in slots), time.monotonic_ns()
        assert after - before >= 0.98 * (ended - begun)
