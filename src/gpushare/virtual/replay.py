# SPDX-License-Identifier: Apache-2.0
"""Runs a recorded time again, under the same or another policy and machine, and compares.

A program needs its GPUs for as long as it had them in the record, suspensions left out. One that
was there at the end needs them until then at least. A request that was withdrawn waits as long as
it did; if it gets a place before, its program is taken to need the median of the others.
"""

from datetime import datetime
from statistics import median

from msgspec.structs import replace

from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Decision
from gpushare.model.spec import ShareSpec
from gpushare.model.units import FULL, Bytes
from gpushare.model.value import Value
from gpushare.scheduler.capacity.room import grant_on

from .courses import Course, Job, TimeOnGpus
from .engine import Engine
from .measures import Measures, Spread, measures
from .trace import RecordedShare, Trace

PROMISES = (
    Exclusive.promise,
    Timeslice.promise,
    MpsMechanism.promise,
    DriverLimit.promise,
    Guard.promise,
)


class ReplayFigures(Value):
    """One side of a comparison; `measures` says what they mean. Waits are in seconds."""

    shares: int
    placed: int
    waiting: int
    never: int
    withdrawn: int
    wait: Spread
    compute_granted: float
    memory_granted: float
    jain: float
    worst: float
    suspended: int
    evicted: int


class Replay(Value):
    """`same_place`: of the shares that both sides placed, how many got the same GPUs by the same
    mechanisms. `both`: how many both placed. `notes`: what is not replayed."""

    recorded: ReplayFigures
    replayed: ReplayFigures
    both: int
    same_place: int
    notes: tuple[str, ...] = ()


def replayed(trace: Trace, policy: Policy, machine: Machine) -> Replay:
    """The record and its replay; raises TraceError."""
    until = _seconds(trace, trace.head.end)
    jobs = [job_of(trace, share, _usual(trace)) for share in trace.shares]
    before = [_course(trace, *pair) for pair in zip(trace.shares, jobs, strict=True)]
    after = Engine(machine, PROMISES, policy).run(jobs, until)
    pairs = [(one, two) for one, two in zip(before, after, strict=True) if one.first and two.first]
    return Replay(
        recorded=_figures(measures(before, trace.head.machine, trace.policy, until)),
        replayed=_figures(measures(after, machine, policy, until)),
        both=len(pairs),
        same_place=sum(_place(one) == _place(two) for one, two in pairs),
        notes=trace.head.notes,
    )


def _figures(found: Measures) -> ReplayFigures:
    return ReplayFigures(
        shares=found.jobs,
        placed=found.placed,
        waiting=found.waiting,
        never=found.never,
        withdrawn=found.gone,
        wait=found.wait,
        compute_granted=found.compute_granted,
        memory_granted=found.memory_granted,
        jain=found.jain,
        worst=found.worst,
        suspended=found.suspended,
        evicted=found.evicted,
    )


def _place(course: Course) -> tuple[object, ...]:
    assert course.first is not None
    return course.first.gpus, course.first.mechanisms


def resized(machine: Machine, gpus: int) -> Machine:
    """With so many GPUs: fewer of its own, or more like its first."""
    kept = machine.gpus[:gpus]
    more = tuple(
        replace(machine.gpus[0], uuid=GpuId(f"GPU-more-{n}"), index=n)
        for n in range(len(machine.gpus), gpus)
    )
    return replace(machine, gpus=(*kept, *more))


def _usual(trace: Trace) -> float:
    ran = [_runs(trace, share) for share in trace.shares if share.granted]
    return median(ran) if ran else 0.0


def _seconds(trace: Trace, at: datetime) -> float:
    return (at - trace.head.begin).total_seconds()


def _runs(trace: Trace, share: RecordedShare) -> float:
    """Seconds on its GPUs."""
    return sum(end - begin for begin, end in _times(trace, share))


def _times(trace: Trace, share: RecordedShare) -> list[tuple[float, float]]:
    """When it was on its GPUs."""
    if share.granted is None:
        return []
    end = _seconds(trace, share.ended or trace.head.end)
    times, begin = [], _seconds(trace, share.granted)
    for period in share.away:
        left = min(end, max(begin, _seconds(trace, period.begin)))
        times.append((begin, left))
        begin = min(end, max(left, _seconds(trace, period.end))) if period.end else end
    return [(one, two) for one, two in (*times, (begin, end)) if two > one]


def job_of(trace: Trace, share: RecordedShare, usual: float) -> Job:
    """What arrives in a replay. `usual`: how long a program runs of which it is not known."""
    withdrawn = share.granted is None and share.ended is not None
    at = _seconds(trace, share.asked)
    return Job(
        id=share.id,
        tenant=share.tenant,
        at=at,
        spec=replace(share.spec, at=None, turns=False),
        runs=_runs(trace, share) if share.granted else usual,
        uid=share.uid,
        program=share.program,
        size=_size(share.spec, trace.head.machine),
        patience=_seconds(trace, share.ended) - at if withdrawn and share.ended else None,
    )


def _size(spec: ShareSpec, machine: Machine) -> float:
    """GPUs that it is as good as."""
    gpu = machine.gpus[0]
    memory = grant_on(gpu, spec).request / gpu.usable
    return spec.gpus * min(1.0, max(memory, spec.compute.guaranteed / FULL))


def _course(trace: Trace, share: RecordedShare, job: Job) -> Course:
    """What became of it in the record."""
    there = {gpu.uuid: gpu for gpu in trace.head.machine.gpus}
    gpus = [there[gpu] for gpu in share.gpus if gpu in there]
    grants = tuple(grant_on(gpu, share.spec) for gpu in gpus)
    stays = tuple(
        TimeOnGpus(
            begin=begin,
            end=end,
            speed=1.0,
            memory=Bytes(sum(grant.request for grant in grants)),
            compute=sum(grant.compute_request for grant in grants) / FULL,
            gpus=len(grants),
        )
        for begin, end in _times(trace, share)
    )
    withdrawn = share.ended if share.granted is None else None
    return Course(
        job=job,
        stays=stays,
        ended=_seconds(trace, share.ended) if share.ended and share.granted else None,
        left=_seconds(trace, withdrawn) if withdrawn else None,
        suspended=len(share.away),
        evicted=int(share.evicted),
        first=Decision(grants=grants, mechanisms=share.mechanisms) if grants else None,
    )
