# SPDX-License-Identifier: Apache-2.0
"""Timeslices by rank, where contexts take turns: what the kernel module is asked for."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpushare.guard import library_path
from gpushare.guard.gpu_page import Rank

from .test_gate import LONG, SHORT, Tenants, finish, tenants

__all__ = ["tenants"]  # the fixture

DRIVER, JOB, CROWDED, SERVICE, TURN = 2048, 80, 1000, 10_000, 20_000  # microseconds


@pytest.fixture
def asked(tenants: Tenants, tmp_path: Path, native_test) -> Iterator["Asked"]:
    path = tmp_path / "slices"
    module = native_test("libkernel_module.so")
    tenants.environment = {"LD_PRELOAD": f"{library_path()}:{module}", "GS_SLICES": str(path)}
    return Asked(path)


class Asked:
    """The timeslices that programs' channel groups have, by what was asked last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, program: subprocess.Popen[str]) -> list[int]:
        """The newest of each group, the oldest group first."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return list(
            {group: int(us) for pid, group, us in lines if int(pid) == program.pid}.values()
        )


def test_a_job_has_short_slices_only_next_to_high_priority_work(
    tenants: Tenants, asked: Asked
) -> None:
    job = tenants.start("work", LONG, rank=Rank.LOW, timeslice_us=JOB)
    tenants.until(lambda: tenants.share_slot(0).launches > 3, "it does not run")
    assert asked.of(job) == [DRIVER]
    service = tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    tenants.until(lambda: asked.of(job) == [JOB], "its slice stays")
    tenants.until(lambda: asked.of(service) == [SERVICE], "the service's slice stays")
    assert (tenants.share_slot(0).timeslice_us, tenants.share_slot(1).timeslice_us) == (
        JOB,
        SERVICE,
    )
    assert finish(service) > 0
    tenants.until(lambda: asked.of(job) == [DRIVER], "its slice is still short")
    assert tenants.share_slot(0).timeslice_us == 0
    assert finish(job) > 0


def test_several_jobs_do_not_lose_the_gpu_to_changing_over(tenants: Tenants, asked: Asked) -> None:
    jobs = [tenants.start("work", LONG, rank=Rank.LOW, timeslice_us=JOB) for _ in range(2)]
    tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    tenants.until(lambda: [asked.of(job) for job in jobs] == [[CROWDED]] * 2, "slices stay short")
    assert finish(jobs[1]) > 0
    tenants.until(lambda: asked.of(jobs[0]) == [JOB], "alone it still has a long one")


def test_several_services_keep_the_drivers_slices(tenants: Tenants, asked: Asked) -> None:
    both = [
        tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
        for _ in range(2)
    ]
    tenants.until(lambda: [asked.of(each) for each in both] == [[DRIVER]] * 2, "one has more")


def test_a_service_has_long_slices_only_among_jobs(tenants: Tenants, asked: Asked) -> None:
    service = tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    tenants.until(lambda: tenants.share_slot(0).preemptions > 50, "it never preempts")
    assert asked.of(service) == [DRIVER]
    tenants.start("work", LONG, rank=Rank.LOW, timeslice_us=JOB)
    tenants.until(lambda: asked.of(service) == [SERVICE], "its slice stays")
    tenants.start("work", LONG, rank=Rank.NORMAL)
    tenants.until(
        lambda: asked.of(service) == [DRIVER], "its timeslice is long next to normal priority"
    )


def test_a_new_context_gets_the_slice_of_the_old_one(tenants: Tenants, asked: Asked) -> None:
    tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    job = tenants.start("again", LONG, rank=Rank.LOW, timeslice_us=JOB)
    tenants.until(lambda: asked.of(job)[-1] == JOB, "the context after the reset has the driver's")


def test_what_the_kernel_module_refuses_is_not_asked_again(tenants: Tenants, asked: Asked) -> None:
    tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    job = tenants.start("work", LONG, rank=Rank.LOW, timeslice_us=1)
    tenants.until(lambda: asked.of(job) == [1], "it was never asked")
    tenants.until(lambda: "refused" in tenants.log(), "the refusal is not logged")
    tenants.until(lambda: tenants.share_slot(1).launches > 20, "it does not go on")
    assert finish(job) > 0
    assert tenants.log().count("refused") == 1


def test_without_a_wish_nothing_is_asked(tenants: Tenants, asked: Asked) -> None:
    service = tenants.start("serve", SHORT, "1000", rank=Rank.HIGH)
    job = tenants.start("work", LONG, rank=Rank.LOW)
    tenants.until(lambda: tenants.share_slot(1).fences > 20, "it puts no fences")
    assert asked.of(job) + asked.of(service) == [DRIVER, DRIVER]


def test_work_in_turns_is_not_cut_at_the_end_of_one(tenants: Tenants, asked: Asked) -> None:
    job = tenants.start("work", LONG, limit=5000, request=5000)
    other = tenants.start("work", SHORT)
    tenants.until(lambda: asked.of(job) + asked.of(other) == [TURN, TURN], "slices stay")
    assert finish(job) > 0
    tenants.until(lambda: asked.of(other) == [DRIVER], "alone it still takes turns")


def test_programs_that_share_a_turn_keep_the_drivers_slices(tenants: Tenants, asked: Asked) -> None:
    job = tenants.start("work", LONG, limit=5000, request=5000)
    both = [tenants.start("work", SHORT) for _ in range(2)]
    tenants.until(lambda: asked.of(job) == [TURN], "its slice stays")
    tenants.until(lambda: [asked.of(each) for each in both] == [[DRIVER]] * 2, "one has more")


def test_next_to_high_priority_work_turns_keep_the_drivers_slices(
    tenants: Tenants, asked: Asked
) -> None:
    job = tenants.start("work", LONG, limit=5000, request=5000)
    tenants.until(lambda: asked.of(job) == [TURN], "its slice stays")
    tenants.start("serve", SHORT, "1000", rank=Rank.HIGH, timeslice_us=SERVICE)
    tenants.until(lambda: asked.of(job) == [DRIVER], "high-priority work waits for it")
