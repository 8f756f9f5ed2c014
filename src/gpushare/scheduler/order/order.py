# SPDX-License-Identifier: Apache-2.0
"""The order in which waiting requests are served.

Requests within a guarantee go before requests that would borrow. Within each of these two classes
go first: those that have waited longer than the policy's patience, the longest first; then by
priority; then those of tenants with less of their fair share, and of equal ones those that used
less recently; then the oldest. The order assumes that earlier requests were granted, so a tenant
with fifty requests and one with one alternate.

Without tenants the order is first come, first served. A gang goes as one, in the place of its last
share.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.spec import Priority
from gpushare.model.value import Value
from gpushare.scheduler.request.state import Request, Snapshot

from .fairshare import Node, fair_shares, path
from .load import NOTHING, Load, needs, total
from .tenancy import Reserves, cover, tenancy

_URGENCY = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


class Turn(NamedTuple):
    """Where a request stands among those of its tenant and class; the smallest goes first."""

    calm: bool  # it has not waited longer than the policy's patience
    waits: float  # since when, if it has
    urgency: int
    asked: float
    number: int


class Precedence(NamedTuple):
    """Where a request stands among all; the smallest goes first.

    Among those that have waited longer than the patience only the time counts, so no request of
    their class overtakes them.
    """

    borrows: bool
    calm: bool
    waits: float
    urgency: int
    saturation: tuple[float, ...]
    asked: float
    number: int


class Unit(Value):
    """Requests that go together: one, or a gang. `load`: what all of them count together."""

    members: tuple[Request, ...]
    load: Load
    turn: Turn

    @property
    def tenant(self) -> Tenant:
        """All members belong to one tenant, because a gang is one tenant's."""
        return self.members[0].tenant


def ordered(state: Snapshot, requests: Sequence[Request]) -> tuple[Request, ...]:
    """The requests, first the one that goes first; equal ones stay as they are.

    `requests` are all that wait, shares to be resumed included; `state.queue` is not looked at.
    Give each of them to `decide` with those before it, that still wait, as the queue.
    """
    return tuple(member for _, unit in _ranked(state, requests) for member in unit.members)


def rank_reason(state: Snapshot, requests: Sequence[Request], request: Request) -> str:
    """One sentence: where the request stands among those that wait, and why not before."""
    before: tuple[Precedence, Unit] | None = None
    position = 0
    for rank, unit in _ranked(state, requests):
        if request in unit.members:
            position += unit.members.index(request) + 1
            return f"{position} of {len(requests)}: {_reason(state.policy, before, (rank, unit))}"
        position += len(unit.members)
        before = rank, unit
    return "it does not wait"


def _ranked(state: Snapshot, requests: Sequence[Request]) -> Iterator[tuple[Precedence, Unit]]:
    units = _units(state, requests)
    if not state.policy.tenants:
        yield from sorted((_arrival(unit), unit) for unit in units)
        return
    grants = _PaperGrants(replace(state, queue=tuple(requests)), units)
    # Ranks depend on earlier grants, so the requests are taken out one by one.
    while grants.ranks:
        yield grants.next()


def _arrival(unit: Unit) -> Precedence:
    turn = unit.turn
    return Precedence(False, True, 0, 0, (), turn.asked, turn.number)


class _PaperGrants:
    """Grants one request after the other, on paper, and knows which of each tenant is next."""

    def __init__(self, state: Snapshot, units: Iterable[Unit]) -> None:
        self._state, self._shares = state, fair_shares(state)
        self._left: Reserves = tenancy(state).left
        self._queues: dict[Tenant, _TenantQueue] = {}
        for unit in units:
            self._queues.setdefault(unit.tenant, _TenantQueue()).add(unit)
        self._paths = {tenant: path(state, tenant) for tenant in self._queues}
        self.ranks = {tenant: self._rank(tenant) for tenant in self._queues}

    def next(self) -> tuple[Precedence, Unit]:
        tenant = min(self.ranks, key=self.ranks.__getitem__)
        rank, unit = self.ranks[tenant], self._queues[tenant].pop()
        self._shares = self._shares.with_more(self._paths[tenant], unit.load)
        # A unit that borrows takes nothing out of the reserves.
        self._left = cover(self._state.policy, self._left, tenant, unit.load) or self._left
        self._update(self._paths[tenant][0])
        return rank, unit

    def _update(self, root: Node) -> None:
        """A grant changes the order only of requests with the same root tenant."""
        for tenant in [name for name in self.ranks if self._paths[name][0] == root]:
            if self._queues[tenant].empty:
                del self.ranks[tenant]
            else:
                self.ranks[tenant] = self._rank(tenant)

    def _rank(self, tenant: Tenant) -> Precedence:
        borrows, turn = self._queues[tenant].head(self._state.policy, self._left)
        return Precedence(
            borrows=borrows,
            calm=turn.calm,
            waits=turn.waits,
            urgency=turn.urgency,
            saturation=self._shares.levels(self._paths[tenant]) if turn.calm else (),
            asked=turn.asked,
            number=turn.number,
        )


class _TenantQueue:
    """One tenant's requests. What is not within its guarantee once is not later either."""

    def __init__(self) -> None:
        self._guaranteed: list[tuple[Turn, Unit]] = []
        self._borrowing: list[tuple[Turn, Unit]] = []

    def add(self, unit: Unit) -> None:
        heappush(self._guaranteed, (unit.turn, unit))

    def head(self, policy: Policy, left: Reserves) -> tuple[bool, Turn]:
        while self._guaranteed:
            turn, unit = self._guaranteed[0]
            if cover(policy, left, unit.tenant, unit.load) is not None:
                return False, turn
            heappush(self._borrowing, heappop(self._guaranteed))
        return True, self._borrowing[0][0]

    def pop(self) -> Unit:
        return heappop(self._guaranteed or self._borrowing)[1]

    @property
    def empty(self) -> bool:
        return not (self._guaranteed or self._borrowing)


def _units(state: Snapshot, requests: Sequence[Request]) -> list[Unit]:
    gangs: dict[tuple[Tenant, str], list[int]] = {}
    for number, request in enumerate(requests):
        gang = request.spec.gang
        key = (request.tenant, gang.name if gang else f" {number}")
        gangs.setdefault(key, []).append(number)
    # Without tenants nothing is compared but the time.
    loads = needs(state, requests) if state.policy.tenants else (NOTHING,) * len(requests)
    return [
        Unit(
            members=tuple(requests[number] for number in numbers),
            load=total(loads[number] for number in numbers),
            # A gang stands where its last share stands.
            turn=max(_turn(state, number, requests[number]) for number in numbers),
        )
        for numbers in gangs.values()
    ]


def _turn(state: Snapshot, number: int, request: Request) -> Turn:
    asked = inf if request.asked is None else request.asked.timestamp()
    now = 0.0 if state.now is None else state.now.timestamp()
    calm = now - asked <= state.policy.patience
    return Turn(
        calm=calm,
        waits=0.0 if calm else asked,
        # Past its patience a request is not overtaken by a higher priority either.
        urgency=_URGENCY[request.spec.priority] if calm else 0,
        asked=asked,
        number=number,
    )


def _reason(
    policy: Policy, before: tuple[Precedence, Unit] | None, this: tuple[Precedence, Unit]
) -> str:
    if before is None:
        return "no share goes before it"
    if not policy.tenants:
        return "first come, first served"
    return f"the one before it {_advantage(policy, before, this)}"


def _advantage(
    policy: Policy, before: tuple[Precedence, Unit], this: tuple[Precedence, Unit]
) -> str:
    (ahead, other), (rank, unit) = before, this
    if rank.borrows and not ahead.borrows:
        return "is within its tenant's guarantee, and this one would borrow"
    if (rank.calm, rank.waits) != (ahead.calm, ahead.waits):
        return f"has waited longer, and more than {policy.patience} s"
    if rank.urgency != ahead.urgency:
        return f"has priority {other.members[0].spec.priority}"
    if unit.tenant != other.tenant and rank.saturation != ahead.saturation:
        return "is of a tenant that has, or recently had, less of its fair share"
    return "came earlier"
