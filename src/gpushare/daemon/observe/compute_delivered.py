# SPDX-License-Identifier: Apache-2.0
"""How much of a GPU's time shares got over the last seconds, from the counters of their seats."""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gpushare.guard import Seat
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import FULL, Percent

WINDOW_SECONDS = 5.0
_LEAST_SECONDS = 0.5
_NS = 1e9


@dataclass(frozen=True)
class _Sample:
    """Sums over the share's GPUs, in nanoseconds; `at` in seconds."""

    at: float
    gpus: int
    wanted: int
    delivered: int
    busy: int


class Delivery:
    def __init__(self) -> None:
        self._samples: dict[ShareId, deque[_Sample]] = {}

    def note(self, share: ShareId, at: float, seats: Mapping[GpuId, Seat]) -> None:
        if not seats:
            return
        line = self._samples.setdefault(share, deque())
        line.append(_sample(at, seats))
        while len(line) > 2 and line[1].at <= at - WINDOW_SECONDS:
            line.popleft()

    def percent(self, share: ShareId) -> Percent | None:
        """Of the time it wanted the GPU under turns, else of all time; None: not measured."""
        line = self._samples.get(share)
        if not line or line[-1].at - line[0].at < _LEAST_SECONDS:
            return None
        old, new = line[0], line[-1]
        if (wanted := new.wanted - old.wanted) > 0:
            return _bounded((new.delivered - old.delivered) / wanted)
        if (busy := new.busy - old.busy) > 0:
            return _bounded(busy / ((new.at - old.at) * _NS * new.gpus))
        return None

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._samples = {share: line for share, line in self._samples.items() if share in shares}


def _sample(at: float, seats: Mapping[GpuId, Seat]) -> _Sample:
    return _Sample(
        at=at,
        gpus=len(seats),
        wanted=sum(seat.wanted_ns for seat in seats.values()),
        delivered=sum(seat.open_ns + seat.overrun_ns for seat in seats.values()),
        busy=sum(seat.busy_ns for seat in seats.values()),
    )


def _bounded(share: float) -> Percent:
    """Counters are the tenant's to write."""
    return Percent(max(0, min(FULL, round(share * FULL))))
