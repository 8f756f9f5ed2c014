# SPDX-License-Identifier: Apache-2.0
"""The shares that hold GPUs, and their programs' progress, at one moment of virtual time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpushare.model.gpu import Machine
from gpushare.model.ids import ShareId
from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Policy, Rung
from gpushare.model.share import Cause, Decision, Share, State, Suspension
from gpushare.model.units import FULL, Bytes
from gpushare.scheduler import Request, Snapshot

from .courses import Course, Job, TimeOnGpus
from .speeds import Demand, speeds
from .usage import VirtualUsage

if TYPE_CHECKING:
    from .engine import Costs

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DONE = 1e-6  # seconds of work: rounding


def moment(seconds: float) -> datetime:
    """The date that stands for a time."""
    return EPOCH + timedelta(seconds=seconds)


@dataclass
class _Program:
    """`done`: seconds of its work. `since`: when its newest stay began, at this `speed`."""

    job: Job
    share: Share
    course: Course
    done: float = 0.0
    speed: float = 0.0
    since: float = 0.0
    moving: bool = False
    stays: list[TimeOnGpus] = field(default_factory=list)

    @property
    def computes(self) -> bool:
        return self.share.state is State.RUNNING and not self.moving

    @property
    def left(self) -> float:
        return max(0.0, self.job.runs - self.done)


class Running:
    """Changes only by its methods, which are the acts of the daemon."""

    def __init__(self, machine: Machine, policy: Policy, costs: "Costs") -> None:
        self.now = 0.0
        self.changes = 0  # grows with every change of what shares hold
        self.leaving: set[ShareId] = set()
        self._adjusted: set[ShareId] = set()  # not restored before it has served its purpose
        self._machine, self._costs = machine, costs
        self._usage = VirtualUsage(machine, policy)
        self._known: dict[ShareId, _Program] = {}
        self._holding: dict[ShareId, _Program] = {}

    # What is there.

    def know(self, job: Job) -> None:
        """A job that has arrived."""
        share = Share(
            id=job.id,
            name=str(job.id),
            spec=job.spec,
            tenant=job.tenant,
            uid=job.uid,
            gid=job.uid,
            state=State.QUEUED,
            created=moment(self.now),
            program=job.program,
        )
        self._known[job.id] = _Program(job, share, Course(job=job))

    def request(self, job: Job) -> Request:
        """What it asks for."""
        return Request(
            spec=job.spec,
            uid=job.uid,
            tenant=job.tenant,
            id=job.id,
            asked=moment(self.now),
            program=job.program,
        )

    def course(self, job: Job) -> Course:
        """What has become of a job by now."""
        program = self._known.get(job.id)
        if program is None:
            return Course(job=job)
        return replace(program.course, stays=tuple(program.stays))

    def snapshot(self, state: Snapshot) -> Snapshot:
        """`state` with everything that changes."""
        programs = self._holding.values()
        busy = {it.share.id: "its memory is moved" for it in programs if it.moving}
        fixed = {
            it.share.id: "it uses memory that cannot move" for it in programs if not it.job.moves
        }
        return replace(
            state,
            shares=tuple(program.share for program in programs),
            now=moment(self.now),
            usage=self._usage.decayed(),
            hours=self._usage.hours(),
            unmovable=fixed | busy,
            unmigratable={it.share.id: "the driver cannot move it" for it in programs},
        )

    def expected(self, state: Snapshot) -> Snapshot:
        """The state after the acts in progress."""
        shares = (self._after(share) for share in state.shares)
        return replace(state, shares=tuple(share for share in shares if share is not None))

    def _after(self, share: Share) -> Share | None:
        program = self._holding[share.id]
        if share.id not in self.leaving:
            return share
        return _aside(share, self.now) if program.moving else None

    def reclaimed(self) -> list[Share]:
        """Shares from which room was taken back, and that are not in an act."""
        return [
            program.share
            for name, program in self._holding.items()
            if not program.moving and name not in self._adjusted and _less(program.share)
        ]

    # Time.

    def next_end(self) -> float:
        """When the first program ends, if nothing changes before."""
        ends = (self.now + it.left / it.speed for it in self._holding.values() if it.speed > 0)
        return min(ends, default=inf)

    def advance(self, at: float) -> bool:
        """Programs make progress until then; whether one has ended."""
        seconds = at - self.now
        self._usage.charge((it.share for it in self._holding.values()), seconds)
        for program in self._holding.values():
            program.done += seconds * program.speed
        self.now = at
        over = [it for it in self._holding.values() if it.speed > 0 and it.left <= _DONE]
        for program in over:
            self._end(program, replace(program.course, ended=at))
        for program in self._holding.values():
            self._note(program)
        self._look()
        return bool(over)

    def _end(self, program: _Program, course: Course) -> None:
        self._note(program)
        program.course = course
        self.leaving.discard(program.share.id)
        del self._holding[program.share.id]

    def _note(self, program: _Program) -> None:
        """The stay until now, joined to the one before if nothing has changed."""
        if program.share.aside or program.share.decision is None or self.now <= program.since:
            program.since = self.now
            return
        grants = program.share.decision.grants
        stay = TimeOnGpus(
            begin=program.since,
            end=self.now,
            speed=program.speed,
            memory=Bytes(sum(grant.request for grant in grants)),
            compute=sum(grant.compute_request for grant in grants) / FULL,
            gpus=len(grants),
        )
        last = program.stays[-1] if program.stays else None
        if (
            last
            and last.end == stay.begin
            and replace(last, end=stay.end) == replace(stay, begin=last.begin)
        ):
            program.stays[-1] = replace(last, end=stay.end)
        else:
            program.stays.append(stay)
        program.since = self.now

    def _look(self) -> None:
        """The speed of all programs from now on."""
        self.changes += 1
        found = speeds(list(self._demands()), self._costs.sharing)
        for name, program in self._holding.items():
            program.speed = found.get(name, 0.0)

    def _demands(self) -> Iterator[Demand]:
        for name, program in self._holding.items():
            decision = program.share.decision
            if program.computes and decision:
                yield Demand(id=name, need=program.job.need, grants=decision.grants)

    # Acts.

    def granted(self, name: ShareId, decision: Decision) -> None:
        """A place; its program begins at once."""
        program, now = self._known[name], moment(self.now)
        ttl = program.job.spec.ttl
        program.share = replace(
            program.share,
            state=State.RUNNING,
            decision=decision,
            granted=now,
            started=now,
            expires=now + timedelta(seconds=ttl) if ttl else None,
        )
        program.since, program.moving = self.now, False
        program.course = replace(program.course, first=program.course.first or decision)
        self._holding[name] = program
        self._look()

    def refused(self, name: ShareId, why: str) -> None:
        """It can never be placed."""
        program = self._known[name]
        program.course = replace(program.course, refused=why)

    def left(self, name: ShareId) -> None:
        """It has waited as long as it would."""
        program = self._known[name]
        program.course = replace(program.course, left=self.now)

    def begin(self, action: Action) -> tuple[str, float]:
        """Which event ends the act, and after how many seconds."""
        program = self._holding[action.share]
        self._note(program)
        if action.rung is Rung.THROTTLE:
            program.share = replace(program.share, decision=action.to)
            program.course = replace(program.course, throttled=program.course.throttled + 1)
            self._adjusted.add(action.share)
            self._look()
            return "throttled", 0.0
        self.leaving.add(action.share)
        if action.rung is Rung.EVICT:
            return "stopped", self._costs.end
        program.moving = True
        self._look()
        return "moved", self._seconds(program)

    def _seconds(self, program: _Program) -> float:
        return program.job.used * program.job.spec.gpus / self._costs.bandwidth

    def adjusted(self, name: ShareId) -> None:
        """Its compute was lowered."""
        self._adjusted.discard(name)

    def suspended(self, name: ShareId) -> None:
        """Its memory has left the GPU."""
        program = self._holding[name]
        self._note(program)
        self.leaving.discard(name)
        program.moving = False
        program.share = _aside(program.share, self.now)
        program.course = replace(program.course, suspended=program.course.suspended + 1)
        self._look()

    def resumes(self, name: ShareId) -> float:
        """It has its room again; seconds until its memory is back."""
        program = self._holding[name]
        program.moving, program.since = True, self.now
        now = moment(self.now)
        program.share = replace(program.share, state=State.RUNNING, suspension=None, granted=now)
        self._look()
        return self._seconds(program)

    def returned(self, name: ShareId) -> None:
        """Its memory is back."""
        program = self._holding[name]
        self._note(program)
        program.moving = False
        self._look()

    def restored(self, name: ShareId, decision: Decision) -> None:
        """It has all of its compute again."""
        program = self._holding[name]
        self._note(program)
        program.share = replace(program.share, decision=decision)
        self._look()

    def evicted(self, name: ShareId) -> Request | None:
        """Its program was ended; the request with which it asks again, if it does."""
        program = self._holding.get(name)
        if program is None:  # it ended by itself meanwhile
            return None
        job = program.job
        kept = program.done // job.checkpoint * job.checkpoint if job.checkpoint else 0.0
        lost = program.done - kept if job.restarts else program.done
        course = program.course
        course = replace(course, evicted=course.evicted + 1, lost=course.lost + lost)
        self._end(program, course)
        self._look()
        if not job.restarts:
            program.course = replace(course, ended=self.now)
            return None
        program.done, program.speed = kept, 0.0
        program.share = replace(
            program.share, state=State.QUEUED, decision=None, created=moment(self.now)
        )
        return self.request(job)


def _aside(share: Share, now: float) -> Share:
    suspension = Suspension(cause=Cause.RECLAIM, since=moment(now))
    return replace(share, state=State.SUSPENDED, suspension=suspension)


def _less(share: Share) -> bool:
    """Whether room was taken back from it."""
    if share.suspension is not None:
        return True
    wanted = share.spec.compute.guaranteed
    grants = share.decision.grants if share.decision else ()
    return any(grant.compute_request < wanted for grant in grants)
