# SPDX-License-Identifier: Apache-2.0
"""What each waiting unit gets, behind those that wait before it.

The scheduler's `Line` is extended by one unit after the other, so a queue costs as much as its
units, and not as much as all pairs of them. It is made only when a unit is asked about that is not
known to wait.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from msgspec.structs import replace

from gpushare.daemon.placement.queue import HeldBack, Unit
from gpushare.model.errors import GpushareError
from gpushare.model.share import Decision, Share
from gpushare.model.units import Bytes
from gpushare.scheduler import Snapshot, Waiting, admission, place_behind
from gpushare.scheduler.capacity.timeline import timeline
from gpushare.scheduler.placing.line import Line

Answer = tuple[Decision, ...] | Waiting | GpushareError
_HOUR = timedelta(hours=1)


class Serving:
    """`ahead`: units that wait, in their order; those that are held back block no other."""

    def __init__(self, state: Snapshot, ahead: Iterable[Unit] = ()) -> None:
        self._state, self._ahead = state, list(ahead)
        self._line: Line | None = None

    @property
    def state(self) -> Snapshot:
        """With those ahead as its queue."""
        return replace(self._state, queue=tuple(r for unit in self._ahead for r in unit))

    def on(self, state: Snapshot) -> "Serving":
        """The same units ahead, in another state."""
        return Serving(state, self._ahead)

    def add(self, unit: Unit) -> None:
        """The unit waits, and those to come are behind it."""
        self._ahead.append(unit)
        if self._line:
            self._line.add(unit)

    def answer(self, unit: Unit, *, explain: bool) -> Answer:
        """An error is an answer here: it ends this unit, not the pass. `explain`: say what a unit
        that waits is waiting for."""
        try:
            for request in unit:
                if reason := admission(self._admitting(unit), request):
                    return HeldBack(position=1, waits_for=reason)
            return place_behind(self._made(), unit, explain=explain)
        except GpushareError as error:
            return error

    def _admitting(self, unit: Unit) -> Snapshot:
        """Only of gangs, and of what may not borrow, those ahead matter for the admission."""
        plain = len(unit) == 1 and unit[0].spec.gang is None and unit[0].spec.borrow
        return self._state if plain else self.state

    def _made(self) -> Line:
        if self._line is None:
            self._line = Line(timeline(self._state))
            for unit in self._ahead:
                self._line.add(unit)
        return self._line


class WaitingUnits(NamedTuple):
    """Units that were found to wait, in their order, and whether each is held back.

    `state` was served. `until`: when time alone may change the answers; None: never.
    """

    state: Snapshot
    units: tuple[tuple[Unit, bool], ...]
    until: datetime | None

    def waiting(self, state: Snapshot, units: Iterable[Unit]) -> tuple[tuple[Unit, bool], ...]:
        """Those of the units, from the first on, that are known to wait in the state too."""
        over = state.now is None or (self.until is not None and state.now >= self.until)
        if over or not _alike(state, self.state):
            return ()
        pairs = zip(self.units, units, strict=False)
        return tuple(mine for mine, _ in takewhile(lambda pair: pair[0][0] == pair[1], pairs))


def known(state: Snapshot, units: Iterable[tuple[Unit, bool]]) -> WaitingUnits | None:
    """None where it is unknown how long they wait: what a guarantee takes back from others
    depends on more than room."""
    if state.now is None or state.policy.guarantees:
        return None
    units = tuple(units)
    return WaitingUnits(state, units, _until(state, state.now, [unit for unit, _ in units]))


def _alike(one: Snapshot, other: Snapshot) -> bool:
    """Whether the same requests fit in both, but for the time."""
    pairs = ((one.shares, other.shares), (one.booked, other.booked))
    return _fits(one) == _fits(other) and all(
        len(mine) == len(theirs) and all(map(_same, mine, theirs)) for mine, theirs in pairs
    )


def _same(one: Share, other: Share) -> bool:
    return one is other or _place(one) == _place(other)


def _place(share: Share) -> Share:
    """Without what is found out about it, and which processes it has."""
    return replace(share, proof=None, verified=None, members=(), entered=(), moved={}, escape=None)


def _fits(state: Snapshot) -> Snapshot:
    """What decides what fits, without the shares and the time."""
    spent = {
        tenant: math.inf
        for tenant, used in state.hours.items()
        if (most := state.policy.spec(tenant).gpu_hours) is not None and used >= most
    }
    gpus = tuple(
        replace(gpu, memory_used=Bytes(0), utilisation=None, processes=())
        for gpu in state.machine.gpus
    )
    return replace(
        state,
        machine=replace(state.machine, gpus=gpus),
        shares=(),
        queue=(),
        now=None,
        booked=(),
        usage={},
        hours=spent,
        unmovable={},
        unmigratable={},
        profiles=(),
    )


def _until(state: Snapshot, now: datetime, units: Iterable[Unit]) -> datetime | None:
    patience = timedelta(seconds=state.policy.patience)
    ends = [share.expires for share in state.shares if share.expires]
    begins = [share.spec.at for share in state.booked if share.spec.at]
    over = [
        share.spec.at + timedelta(seconds=share.spec.ttl)
        for share in state.booked
        if share.spec.at and share.spec.ttl
    ]
    asked = [request.asked for unit in units for request in unit if request.asked]
    times = [*ends, *begins, *over, *(at + patience for at in asked)]
    # A request that has lost its patience waits for what ends within as long again.
    times += [at - patience for at in (*ends, *over)]
    hour = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    return min((at for at in (*times, hour) if at > now), default=None)
