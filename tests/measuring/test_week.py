# SPDX-License-Identifier: Apache-2.0
"""The simulated week: its arrivals, what it is compared with, and the table made of its result."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import week, week_jobs, week_others, week_report

from gpushare.model.units import GIB, Bytes


def test_arrivals_depend_on_the_seed_alone_and_have_the_load_that_was_asked_for() -> None:
    jobs = week_jobs.week(3, 0.4)
    assert jobs == week_jobs.week(3, 0.4)
    assert jobs != week_jobs.week(4, 0.4)
    asked = sum(job.size * min(job.runs, week_jobs.WEEK - job.at) for job in jobs)
    whole = week_jobs.GPUS * week_jobs.WEEK
    assert 0.4 <= asked / whole < 0.4 + 4 * week_jobs.LONGEST_S / whole
    assert len({job.tenant for job in jobs}) == week_jobs.TENANTS
    assert [job.at for job in jobs] == sorted(job.at for job in jobs)


def test_whole_gpus_go_to_the_first_that_came() -> None:
    jobs = week_jobs.week(1, 0.4)[:40]
    courses = week_others.exclusive(jobs, 2, 140 * GIB, week_jobs.WEEK)
    begun = [course.granted for course in courses if course.granted is not None]
    assert begun == sorted(begun)
    for course in courses:
        for stay in course.stays:
            there = [s for c in courses for s in c.stays if s.begin <= stay.begin < s.end]
            assert sum(s.gpus for s in there) <= 2


def test_a_fixed_part_serves_what_fits_and_no_more_at_once() -> None:
    jobs = week_jobs.week(1, 0.4)
    part = 8 * 140 * GIB // 20
    courses = week_others.fixed(jobs, 20, 8, 140 * GIB, week_jobs.WEEK)
    for course in courses:
        fits = course.job.spec.gpus == 1 and course.job.used <= part
        assert bool(course.refused) is not fits
        done = sum((stay.end - stay.begin) * stay.speed for stay in course.stays)
        assert course.ended is None or done == pytest.approx(course.job.runs, abs=1e-3)
    own = [course for course in courses if course.job.tenant == courses[0].job.tenant]
    for stay in (stay for course in own for stay in course.stays):
        there = [s for c in own for s in c.stays if s.begin <= stay.begin < s.end]
        assert sum(s.memory for s in there) <= Bytes(part)


def test_each_way_serves_a_morning_of_the_week() -> None:
    jobs = week_jobs.week(2, 0.4)[:12]
    for name, way in week.WAYS.items():
        courses = way(jobs)
        assert [course.job for course in courses] == jobs, name
        assert any(course.granted is not None for course in courses), name


def test_the_table_of_the_documentation_is_made_of_the_result() -> None:
    found = json.loads(week_report.RESULT.read_text())
    assert found["summary"] == week.summary(found["rows"])
    page = week_report.PAGE.read_text()
    assert week_report.filled(page, found) == page
    assert week_report.FIGURE.exists()
