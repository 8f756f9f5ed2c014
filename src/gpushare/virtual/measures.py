# SPDX-License-Identifier: Apache-2.0
"""What a course of events comes to: waits, use of the GPUs, fairness, and what taking back cost.

A job waits from its arrival to its first place; one that never got a place, until the end. Its
*slowdown* is the time from its arrival to its end over the time that its program needs alone.

Fairness: at each moment the machine is divided among the tenants that want something then. Each
first gets what it is guaranteed, as far as it wants it, and the rest in equal parts by weight, but
none gets more than it wants. That is a tenant's due. What it gets are the GPUs that its running
jobs are as good as, times their speed. A tenant's *satisfaction* is what it got over what it was
due, both summed over the time, and at most 1 counts: what no other tenant wanted does no harm. The
Jain index of n satisfactions x is (sum x)^2 / (n * sum x^2): 1 if all are equal, 1/n if one tenant
has everything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from gpushare.model.gpu import Machine
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.units import FULL
from gpushare.model.value import Value

from .courses import Course

_HOUR = 3600.0


class Spread(Value):
    """Of times in seconds, or of ratios."""

    mean: float = 0.0
    median: float = 0.0
    p95: float = 0.0


class Measures(Value):
    """`compute`, `memory`: parts of the machine, guaranteed to shares (`granted`) and used.

    `waiting`: jobs that had no place until the end. `never`: jobs that could never have one here.
    `gone`: jobs that gave up. `lost_hours`: GPU hours of work at full speed done without use.
    `worst`: the smallest satisfaction of a tenant.
    """

    jobs: int
    placed: int
    waiting: int
    never: int
    gone: int
    wait: Spread
    slowdown: Spread
    compute_granted: float
    compute_used: float
    memory_granted: float
    memory_used: float
    jain: float
    worst: float
    suspended: int
    evicted: int
    throttled: int
    lost_hours: float


def measures(courses: Sequence[Course], machine: Machine, policy: Policy, until: float) -> Measures:
    """Of the time from 0 to `until`; jobs that end later count with all of their wait."""
    end = max([until, *(course.ended or 0.0 for course in courses)])
    parts = list(_satisfactions(courses, len(machine.gpus), policy, machine, until).values())
    never = [course for course in courses if course.refused]
    rest = [course for course in courses if not course.refused]
    memory = sum(gpu.usable for gpu in machine.gpus) * until
    time = len(machine.gpus) * until
    return Measures(
        jobs=len(courses),
        placed=sum(course.granted is not None for course in rest),
        waiting=sum(course.granted is None and course.left is None for course in rest),
        never=len(never),
        gone=sum(course.left is not None for course in rest),
        wait=spread([_waited(course, end) for course in rest]),
        slowdown=spread([_slowdown(course, end) for course in rest]),
        compute_granted=_over(courses, until, lambda _, stay: stay.compute) / time,
        compute_used=_over(courses, until, lambda c, s: c.job.need * s.speed * s.gpus) / time,
        memory_granted=_over(courses, until, lambda _, stay: stay.memory) / memory,
        memory_used=_over(courses, until, lambda c, s: c.job.used * s.gpus) / memory,
        jain=jain(parts),
        worst=min(parts, default=1.0),
        suspended=sum(course.suspended for course in courses),
        evicted=sum(course.evicted for course in courses),
        throttled=sum(course.throttled for course in courses),
        lost_hours=sum(c.lost * c.job.need * c.job.spec.gpus for c in courses) / _HOUR,
    )


def _waited(course: Course, end: float) -> float:
    until = course.granted if course.granted is not None else course.left
    return (end if until is None else until) - course.job.at


def _slowdown(course: Course, end: float) -> float:
    over = course.ended if course.ended is not None else course.left
    took = (end if over is None else over) - course.job.at
    return max(1.0, took / course.job.runs) if course.job.runs else 1.0


def _over(courses: Iterable[Course], until: float, rate: Callable[..., float]) -> float:
    """The integral of a rate over all stays before a time."""
    return sum(
        rate(course, stay) * (min(stay.end, until) - stay.begin)
        for course in courses
        for stay in course.stays
        if stay.begin < until
    )


def spread(figures: Sequence[float]) -> Spread:
    """Nothing of nothing."""
    if not figures:
        return Spread()
    ordered = sorted(figures)

    def at(part: float) -> float:
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    return Spread(mean=fmean(ordered), median=at(0.5), p95=at(0.95))


def jain(parts: Sequence[float]) -> float:
    """1 for none, and where none has anything."""
    squares = sum(part * part for part in parts)
    return sum(parts) ** 2 / (len(parts) * squares) if squares else 1.0


def _satisfactions(
    courses: Sequence[Course], gpus: int, policy: Policy, machine: Machine, until: float
) -> dict[Tenant, float]:
    owed = {tenant: _owed(policy, tenant, machine) for tenant in {c.job.tenant for c in courses}}
    due: defaultdict[Tenant, float] = defaultdict(float)
    got: defaultdict[Tenant, float] = defaultdict(float)
    for seconds, wants, gets in _moments(courses, until):
        for tenant, part in dues(gpus, wants, owed, policy).items():
            due[tenant] += seconds * part
            got[tenant] += seconds * min(part, gets.get(tenant, 0.0))
    return {tenant: got[tenant] / due[tenant] for tenant in due if due[tenant] > 0}


def _owed(policy: Policy, tenant: Tenant, machine: Machine) -> float:
    """What it is guaranteed, as GPUs."""
    amount = policy.spec(tenant).guaranteed
    memory = max(gpu.usable for gpu in machine.gpus)
    return max((amount.memory or 0) / memory, (amount.compute or 0) / FULL)


def dues(
    gpus: float, wants: Mapping[Tenant, float], owed: Mapping[Tenant, float], policy: Policy
) -> dict[Tenant, float]:
    """What each tenant is due of so many GPUs when it wants so many."""
    got = {tenant: min(want, owed.get(tenant, 0.0)) for tenant, want in wants.items()}
    left = gpus - sum(got.values())
    open_ = {tenant for tenant in wants if wants[tenant] > got[tenant]}
    while open_ and left > 1e-9:
        weights = {tenant: policy.spec(tenant).weight for tenant in open_}
        step = left / sum(weights.values())
        more = {t: min(step * weights[t], wants[t] - got[t]) for t in open_}
        for tenant, part in more.items():
            got[tenant] += part
        left -= sum(more.values())
        open_ = {tenant for tenant in open_ if wants[tenant] - got[tenant] > 1e-9}
    return got


def _moments(
    courses: Sequence[Course], until: float
) -> Iterator[tuple[float, dict[Tenant, float], dict[Tenant, float]]]:
    """Pieces of time in which nothing changes: seconds, what tenants want, what they get."""
    changes: defaultdict[float, list[tuple[bool, Tenant, float]]] = defaultdict(list)
    for course in courses:
        for wanted, begin, end, size in _spans(course, until):
            changes[begin].append((wanted, course.job.tenant, size))
            changes[end].append((wanted, course.job.tenant, -size))
    wants: defaultdict[Tenant, float] = defaultdict(float)
    gets: defaultdict[Tenant, float] = defaultdict(float)
    for begin, end in pairwise(sorted(changes)):
        for wanted, tenant, size in changes[begin]:
            (wants if wanted else gets)[tenant] += size
        if begin < until:
            present = {tenant: want for tenant, want in wants.items() if want > 1e-9}
            yield min(end, until) - begin, present, gets


def _wanted_until(course: Course, until: float) -> float:
    """A job that could never be placed is wanted for as long as it would have run alone."""
    if course.refused:
        return course.job.at + course.job.runs
    over = course.ended if course.ended is not None else course.left
    return until if over is None else over


def _spans(course: Course, until: float) -> Iterator[tuple[bool, float, float, float]]:
    """Whether it is wanted or got, from when to when, how many GPUs."""
    yield True, course.job.at, max(course.job.at, _wanted_until(course, until)), course.job.size
    for stay in course.stays:
        yield False, stay.begin, stay.end, course.job.size * stay.speed
