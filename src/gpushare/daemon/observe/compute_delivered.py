# SPDX-License-Identifier: Apache-2.0
"""How much of a GPU's time shares had over the last seconds, as their share slots count it."""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gpushare.guard import ShareSlot
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import FULL, Percent

WINDOW_SECONDS = 5.0
_LEAST_SECONDS = 0.5
_NS = 1e9


@dataclass(frozen=True)
class _Counters:
    """Sums over the share's GPUs, in nanoseconds; `at` in seconds."""

    at: float
    gpus: int
    wanted: int
    delivered: int
    busy: int


class ComputeDelivered:
    def __init__(self) -> None:
        self._samples: dict[ShareId, deque[_Counters]] = {}

    def add(self, share: ShareId, at: float, slots: Mapping[GpuId, ShareSlot]) -> None:
        """A sample of the share's counters.

        `at` in seconds. Without share slots nothing is counted.
        """
        if not slots:
            return
        samples = self._samples.setdefault(share, deque())
        samples.append(_sample(at, slots))
        # The last sample before the window stays: without it the difference would cover less than
        # the window.
        while len(samples) > 2 and samples[1].at <= at - WINDOW_SECONDS:
            samples.popleft()

    def percent(self, share: ShareId) -> Percent | None:
        """Of the time it wanted the GPU under turns, else of all time; None: not measured."""
        samples = self._samples.get(share)
        if not samples or samples[-1].at - samples[0].at < _LEAST_SECONDS:
            return None
        old, new = samples[0], samples[-1]
        if (wanted := new.wanted - old.wanted) > 0:
            return _bounded((new.delivered - old.delivered) / wanted)
        if (busy := new.busy - old.busy) > 0:
            return _bounded(busy / ((new.at - old.at) * _NS * new.gpus))
        return None

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._samples = {
            share: samples for share, samples in self._samples.items() if share in shares
        }


def _sample(at: float, slots: Mapping[GpuId, ShareSlot]) -> _Counters:
    return _Counters(
        at=at,
        gpus=len(slots),
        wanted=sum(slot.wanted_ns for slot in slots.values()),
        delivered=sum(slot.open_ns + slot.overrun_ns for slot in slots.values()),
        busy=sum(slot.busy_ns for slot in slots.values()),
    )


def _bounded(share: float) -> Percent:
    """The tenant can write the counters."""
    return Percent(max(0, min(FULL, round(share * FULL))))
