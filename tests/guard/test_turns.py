# SPDX-License-Identifier: Apache-2.0
"""Compute limits and guarantees on a simulated GPU, by what the conductor books."""

import signal
import time

import pytest

from gpushare.guard.gpu_page import Rank, ShareSlot

from .test_gate import Tenants, finish, tenants

__all__ = ["tenants"]  # the fixture

KERNEL = "300000"
LONG = "6000000"
POINTS = 3  # on a machine with two cores that the test's own programs share
SECONDS = 1.5


def share_of_time(before: ShareSlot, after: ShareSlot) -> float:
    """Percent of the time in which the share slot wanted the GPU that it had it."""
    used = after.open_ns + after.overrun_ns - before.open_ns - before.overrun_ns
    return 100 * used / (after.wanted_ns - before.wanted_ns)


def measured(tenants: Tenants, *numbers: int) -> list[float]:
    tenants.until(lambda: tenants.board.snapshot().turns, "nobody conducts")
    time.sleep(0.5)
    before = [tenants.share_slot(number) for number in numbers]
    time.sleep(SECONDS)
    after = [tenants.share_slot(number) for number in numbers]
    return [share_of_time(b, a) for b, a in zip(before, after, strict=True)]


@pytest.mark.parametrize("work", ["work", "graph"])
@pytest.mark.parametrize("percent", [10, 25, 50, 75])
def test_a_limit_is_met_alone(tenants: Tenants, work: str, percent: int) -> None:
    job = tenants.start(work, KERNEL, limit=percent * 100, request=percent * 100)
    [seen] = measured(tenants, 0)
    assert abs(seen - percent) <= POINTS
    assert finish(job) > 0


def test_limits_are_met_beside_each_other(tenants: Tenants) -> None:
    for percent in (25, 50):
        tenants.start("work", KERNEL, limit=percent * 100, request=percent * 100)
    small, large = measured(tenants, 0, 1)
    assert abs(small - 25) <= POINTS
    assert abs(large - 50) <= POINTS


def test_what_runs_on_into_anothers_turn_leaves_the_gpu_idle_for_nobody(tenants: Tenants) -> None:
    for _ in range(2):
        tenants.start("work", LONG, limit=5000, request=5000)
    tenants.until(lambda: tenants.board.snapshot().turns, "nobody conducts")
    time.sleep(0.5)
    before, begun = [tenants.share_slot(number).open_ns for number in (0, 1)], time.monotonic_ns()
    time.sleep(2 * SECONDS)
    after, ended = [tenants.share_slot(number).open_ns for number in (0, 1)], time.monotonic_ns()
    assert sum(after) - sum(before) >= 0.98 * (ended - begun)


def test_who_has_no_limit_gets_what_is_left(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    tenants.start("work", KERNEL)
    limited, free = measured(tenants, 0, 1)
    assert abs(limited - 25) <= POINTS
    assert abs(free - 75) <= POINTS


def test_an_idle_guarantee_is_lent_and_taken_back(tenants: Tenants) -> None:
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


def test_a_limit_changes_while_the_program_runs(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    measured(tenants, 0)
    tenants.change(0, limit=6000, request=6000)
    [seen] = measured(tenants, 0)
    assert abs(seen - 60) <= POINTS
    tenants.change(0)
    tenants.until(lambda: not tenants.board.snapshot().turns, "turns go on for nobody")
    assert tenants.share_slot(0).gate == 0


def test_who_takes_turns_no_longer_is_not_kept_out(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    freed = tenants.start("work", KERNEL, limit=1000, request=1000)
    measured(tenants, 1)
    tenants.until(lambda: tenants.share_slot(1).gate != 0, "its limit shuts it out at times")
    tenants.change(1, rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).gate == 0, "nobody lets it in again")
    assert finish(freed) > 0


def test_nobody_pays_for_what_a_share_that_has_ended_ran_over(tenants: Tenants) -> None:
    tenants.start("work", KERNEL)
    tenants.start("work", KERNEL, limit=4000, request=4000)
    gone = tenants.start("work", LONG, limit=2500, request=2500)
    tenants.until(lambda: tenants.share_slot(2).overrun_ns > 0, "it runs over nowhere")
    time.sleep(1)  # until its new limit is charged for
    gone.kill()
    gone.wait()
    tenants.leave(2)
    tenants.start("work", KERNEL, number=2, limit=2500, request=2500)
    rest, other, new = measured(tenants, 0, 1, 2)
    assert abs(other - 40) <= POINTS
    assert abs(new - 25) <= POINTS
    assert abs(rest - 35) <= POINTS


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_turns_go_on_when_their_conductor_does_not(tenants: Tenants, end: signal.Signals) -> None:
    first = tenants.start("work", KERNEL, limit=2500, request=2500)
    tenants.until(lambda: tenants.board.snapshot().turns, "nobody conducts")
    tenants.start("work", KERNEL, limit=5000, request=5000)
    first.send_signal(end)
    time.sleep(0.3)
    [seen] = measured(tenants, 1)
    assert abs(seen - 50) <= POINTS


def test_urgent_work_without_a_limit_takes_no_turns(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, limit=2500, request=2500)
    service = tenants.start("serve", KERNEL, "1000", rank=Rank.HIGH)
    measured(tenants, 0)
    assert tenants.share_slot(1).waits == 0
    assert finish(service) > 0


def test_a_job_that_urgent_work_keeps_out_takes_no_turns_from_others(tenants: Tenants) -> None:
    tenants.start("work", KERNEL, rank=Rank.LOW, minimum=0)
    tenants.start("work", "3000000", rank=Rank.HIGH)
    tenants.start("work", KERNEL, limit=2500, request=2500)
    [limited] = measured(tenants, 2)
    assert abs(limited - 25) <= POINTS


def test_no_work_is_lost_or_done_out_of_order(tenants: Tenants) -> None:
    job = tenants.start("order", "2000", limit=1000, request=1000)
    assert finish(job) == 2000
    assert tenants.share_slot(0).turns > 1
