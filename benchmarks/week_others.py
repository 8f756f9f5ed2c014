# SPDX-License-Identifier: Apache-2.0
"""What a week is compared with: whole GPUs first come first served, and fixed parts."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from gpushare.model.ids import ShareId
from gpushare.model.units import Bytes
from gpushare.virtual.courses import Course, Job, TimeOnGpus
from gpushare.virtual.speeds import shared_out


def exclusive(jobs: Sequence[Job], gpus: int, memory: int, until: float) -> list[Course]:
    """Each job has whole GPUs, in the order of arrival: none goes before the first that waits."""
    free, ends, made = gpus, list[tuple[float, int]](), list[Course]()
    now = 0.0
    for job in jobs:
        now = max(now, job.at)
        while ends and (ends[0][0] <= now or free < job.spec.gpus):
            now = max(now, ends[0][0])
            free += heappop(ends)[1]
        free -= job.spec.gpus
        heappush(ends, (now + job.runs, job.spec.gpus))
        made.append(_alone(job, now, memory, until))
    return made


def _alone(job: Job, begin: float, memory: int, until: float) -> Course:
    """Nothing after `until` is looked at."""
    if begin >= until:
        return Course(job=job)
    end = min(begin + job.runs, until)
    stay = TimeOnGpus(
        begin=begin, end=end, speed=1.0, memory=Bytes(memory * job.spec.gpus),
        compute=float(job.spec.gpus), gpus=job.spec.gpus,
    )  # fmt: skip
    ended = end if begin + job.runs <= until else None
    return Course(job=job, stays=(stay,), ended=ended)


@dataclass
class _Part:
    """One tenant's part; its jobs are served in their order as long as memory lasts.

    A program that fits is run, whatever its user would ask for elsewhere.
    """

    memory: int
    compute: float
    waits: deque[Job] = field(default_factory=deque)
    runs: dict[ShareId, tuple[Job, float]] = field(default_factory=dict)  # seconds that are left
    stays: dict[ShareId, list[TimeOnGpus]] = field(default_factory=dict)
    ended: dict[ShareId, float] = field(default_factory=dict)

    def fits(self, job: Job) -> bool:
        return job.spec.gpus == 1 and job.used <= self.memory

    def speeds(self) -> dict[ShareId, float]:
        needs = {name: job.need for name, (job, _) in self.runs.items()}
        got = shared_out(self.compute, needs)
        return {name: min(1.0, got[name] / needs[name]) for name in needs}

    def next_end(self, now: float) -> float:
        speeds = self.speeds()
        return min((now + left / speeds[n] for n, (_, left) in self.runs.items()), default=inf)

    def advance(self, now: float, to: float) -> None:
        for name, speed in self.speeds().items():
            job, left = self.runs[name]
            left -= speed * (to - now)
            if to > now:
                self.stays[name].append(self._stay(now, to, speed, job))
            self.runs[name] = job, left
            if left <= 1e-6:
                del self.runs[name]
                self.ended[name] = to
        self._begin()

    def _stay(self, now: float, to: float, speed: float, job: Job) -> TimeOnGpus:
        part = self.compute / len(self.runs) if self.runs else 0.0
        return TimeOnGpus(begin=now, end=to, speed=speed, memory=job.used, compute=part)

    def _begin(self) -> None:
        free = self.memory - sum(job.used for job, _ in self.runs.values())
        while self.waits and self.waits[0].used <= free:
            job = self.waits.popleft()
            free -= job.used
            self.runs[job.id] = job, job.runs
            self.stays[job.id] = []

    def arrive(self, job: Job) -> None:
        self.waits.append(job)
        self._begin()


def fixed(jobs: Sequence[Job], tenants: int, gpus: int, memory: int, until: float) -> list[Course]:
    """Each tenant has an equal part of memory and compute, which no border of a GPU cuts."""
    found: dict[ShareId, Course] = {}
    for name in {job.tenant for job in jobs}:
        own = [job for job in jobs if job.tenant == name]
        part = _Part(memory * gpus // tenants, gpus / tenants)
        fitting = [job for job in own if part.fits(job)]
        _serve(part, fitting, until)
        for job in own:
            found[job.id] = Course(
                job=job,
                stays=tuple(part.stays.get(job.id, ())),
                ended=part.ended.get(job.id),
                refused="" if part.fits(job) else "larger than the part of its tenant",
            )
    return [found[job.id] for job in jobs]


def _serve(part: _Part, jobs: Sequence[Job], until: float) -> None:
    now = 0.0
    coming = deque(jobs)
    while now < until:
        ahead = coming[0].at if coming else until
        to = min(part.next_end(now), ahead, until)
        part.advance(now, to)
        now = to
        while coming and coming[0].at <= now:
            part.arrive(coming.popleft())
