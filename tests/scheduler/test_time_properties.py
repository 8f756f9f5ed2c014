# SPDX-License-Identifier: Apache-2.0
"""What holds over time, whatever is requested and reserved."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.model.errors import GpushareError, NeverFitsError
from gpushare.model.ids import ShareId, Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.share import Decision, State
from gpushare.model.spec import Gang
from gpushare.model.units import Seconds
from gpushare.scheduler import Waiting, book, decide, place_gang
from support.scheduling.values import NOW, ask, gpu, holding, snapshot

LABELS = [{}, {}, {}, {"app": "web"}, {"app": "job"}]


def minutes(count):
    return timedelta(minutes=count)


@dataclass
class Coming:
    """A user who comes, stays for `runs` minutes, and may have set a longest time."""

    after: int
    runs: int
    slack: int | None  # minutes that the ttl is longer than the run; None: no ttl
    ahead: int | None  # a reservation in so many minutes
    wishes: dict = field(default_factory=dict)

    def request(self, number, now):
        wishes = dict(self.wishes)
        tenant, gib, compute = wishes.pop("tenant"), wishes.pop("gib"), wishes.pop("compute")
        wishes["gpus"] = 1 if wishes["turns"] else wishes["gpus"]
        slack = self.slack or 0 if self.ahead is not None else self.slack
        wishes["ttl"] = None if slack is None else (self.runs + slack) * 60
        wishes["at"] = None if self.ahead is None else now + minutes(self.ahead)
        asked = ask(gib, compute, uid=ord(tenant), name=f"s{number}", **wishes)
        return replace(asked, id=ShareId(f"s{number}"), tenant=Tenant(tenant), asked=now)


WISHES = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from("ab"),
        "gib": st.one_of(st.none(), st.integers(1, 80)),
        "compute": st.sampled_from([100, 100, 60, 30]),
        "labels": st.sampled_from(LABELS),
        "apart": st.sampled_from(LABELS),
        "gpus": st.sampled_from([1, 1, 1, 2]),
        "turns": st.sampled_from([False, False, True]),
    }
)
COMING = st.builds(
    Coming,
    after=st.integers(0, 20),
    runs=st.integers(1, 60),
    slack=st.one_of(st.none(), st.integers(0, 20)),
    ahead=st.one_of(st.none(), st.none(), st.none(), st.integers(1, 90)),
    wishes=WISHES,
)
DAYS = st.lists(COMING, max_size=14)
MACHINES = st.lists(st.sampled_from([40, 80]), min_size=2, max_size=3).map(
    lambda sizes: snapshot(
        *(gpu(index, size) for index, size in enumerate(sizes)),
        now=NOW,
        policy=Policy(patience=Seconds(600)),
    )
)


class Day:
    """A machine that is served as the daemon serves it: ends, reservations, then the queue."""

    def __init__(self, state):
        self.state, self.now = state, NOW
        self.queue, self.ends = [], {}  # requests with the minutes they run; when shares end
        self.reserved, self.promised = {}, {}

    def live(self, people):
        arrivals, when = {}, NOW
        for number, one in enumerate(people):
            when += minutes(one.after)
            arrivals.setdefault(when, []).append((number, one))
        while times := self.times(arrivals):
            self.now = min(times)
            self.state = replace(self.state, now=self.now)
            self.end()
            self.serve()
            for number, one in arrivals.pop(self.now, []):
                self.come(number, one)
            self.check_room()

    def times(self, arrivals):
        starts = [share.spec.at for share in self.state.booked]
        return [*arrivals, *self.ends.values(), *starts]

    def end(self):
        over = {name for name, end in self.ends.items() if end <= self.now}
        self.ends = {name: end for name, end in self.ends.items() if name not in over}
        here = tuple(share for share in self.state.shares if share.id not in over)
        self.state = replace(self.state, shares=here)

    def come(self, number, one):
        request = one.request(number, self.now)
        if request.spec.at is None:
            self.queue.append((request, one.runs))
            self.serve()
        else:
            self.reserve(request, one)

    def reserve(self, request, one):
        try:
            found = book(replace(self.state, queue=self.waiting()), request)
        except GpushareError as error:
            assert error.because  # noqa: PT017
            return
        share = replace(holding(found, request, request.id), state=State.QUEUED)
        share = replace(share, booking=found, decision=None)
        self.state = replace(self.state, booked=(*self.state.booked, share))
        self.reserved[request.id] = request, one.runs

    def waiting(self):
        return tuple(request for request, _ in self.queue)

    def serve(self):
        self.claim()
        ahead = []
        for request, runs in list(self.queue):
            met = replace(self.state, queue=tuple(ahead))
            try:
                answer = decide(met, request)
            except GpushareError:
                self.queue.remove((request, runs))
                continue
            assert str(answer) == str(decide(met, request))
            if isinstance(answer, Decision):
                self.queue.remove((request, runs))
                self.grant(request, answer, runs)
            else:
                self.promise(request, answer, first=not ahead)
                ahead.append(request)

    def claim(self):
        for share in self.state.booked:
            if share.spec.at <= self.now:
                request, runs = self.reserved[share.id]
                found = decide(replace(self.state, queue=self.waiting()), request)
                assert found == share.booking, "a reservation did not get what was kept for it"
                rest = tuple(one for one in self.state.booked if one.id != share.id)
                self.grant(request, found, runs)
                self.state = replace(self.state, booked=rest)

    def promise(self, request, answer, *, first):
        before = self.promised.get(request.id)
        if before is not None:
            assert self.now < before, "the first in the queue did not start in time"
            assert answer.eta is not None
            assert answer.eta <= before, "the first in the queue was delayed"
        if first and answer.eta is not None:
            self.promised[request.id] = answer.eta

    def grant(self, request, decision, runs):
        for other in self.state.shares:
            both = set(decision.gpus) & set(other.decision.gpus)
            assert not (both and conflict(request, other)), (
                "a share is with one it must be apart from"
            )
        share = holding(decision, request, request.id)
        begun, ttl = request.spec.at or self.now, request.spec.ttl
        share = replace(share, expires=begun + timedelta(seconds=ttl) if ttl else None)
        self.state = replace(self.state, shares=(*self.state.shares, share))
        self.ends[share.id] = self.now + minutes(runs)

    def check_room(self):
        starts = [share.spec.at for share in self.state.booked]
        for moment in [self.now, *starts]:
            for one in self.state.machine.gpus:
                here = [(turns, g) for turns, g in self.grants(moment) if g.gpu == one.uuid]
                assert counted((turns, grant.request) for turns, grant in here) <= one.usable
                assert counted((turns, grant.compute_request) for turns, grant in here) <= 100

    def grants(self, moment):
        """Every grant at that time, and whether it takes turns."""
        for share in self.state.shares:
            if share.expires is None or share.expires > max(moment, self.now):
                yield from ((share.spec.turns, grant) for grant in share.decision.grants)
        for share in self.state.booked:
            if share.spec.at <= moment < share.spec.at + timedelta(seconds=share.spec.ttl):
                yield from ((share.spec.turns, grant) for grant in share.booking.grants)


def counted(amounts):
    """All, but of those that take turns only the largest."""
    amounts = list(amounts)
    largest = max((amount for turns, amount in amounts if turns), default=0)
    return largest + sum(amount for turns, amount in amounts if not turns)


def conflict(request, other):
    """Whether one of the two is apart from the other's labels."""
    if other.tenant != request.tenant:
        return False
    pairs = [(request.spec.apart, other.spec.labels), (other.spec.apart, request.spec.labels)]
    return any(apart and apart.items() <= labels.items() for apart, labels in pairs)


@given(MACHINES, DAYS)
@settings(max_examples=150)
def test_a_day_keeps_every_promise(state, people):
    day = Day(state)
    day.live(people)
    assert not day.queue, "all have ended, and a share still waits"


GANGS = st.lists(
    st.tuples(st.integers(1, 80), st.sampled_from(LABELS), st.sampled_from(LABELS)),
    min_size=2,
    max_size=5,
)


@given(MACHINES, st.lists(st.integers(1, 60), max_size=3), GANGS)
def test_a_gang_is_placed_whole_or_not_at_all(state, present, wishes):
    day = Day(state)
    day.queue = [(replace(ask(gib), id=f"p{n}"), 1) for n, gib in enumerate(present)]
    day.serve()
    of = Gang(name="g", size=len(wishes))
    requests = [
        replace(ask(gib, gang=of, labels=labels, apart=apart), id=f"g{n}", tenant="a")
        for n, (gib, labels, apart) in enumerate(wishes)
    ]
    state = replace(day.state, queue=day.waiting())
    try:
        found = place_gang(state, requests)
    except NeverFitsError:
        return
    assert str(found) == str(place_gang(state, requests))
    if isinstance(found, Waiting):
        assert found.waits_for.startswith("gang g: ")
        return
    assert len(found) == len(requests)
    for request, decision in zip(requests, found, strict=True):
        day.grant(request, decision, 1)
    day.check_room()


@given(MACHINES, st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(LABELS)), max_size=6))
def test_near_is_only_next_to_ones_own(state, present):
    day = Day(state)
    day.queue = [
        (replace(ask(8, labels=labels, gpu=(str(n % 2),)), id=f"p{n}", tenant=tenant), 1)
        for n, (tenant, labels) in enumerate(present)
    ]
    day.serve()
    answer = decide(day.state, replace(ask(1, near={"app": "web"}), tenant="a"))
    there = {
        share.decision.gpus[0]
        for share in day.state.shares
        if share.tenant == "a" and share.spec.labels.get("app") == "web"
    }
    if isinstance(answer, Decision):
        assert answer.gpus[0] in there
    else:
        assert not there or day.queue
