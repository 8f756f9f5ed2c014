# SPDX-License-Identifier: Apache-2.0
"""How much of a GPU's time shares had over the last seconds, as their share slots count it."""

from collections import deque
from collections.abc import Collection, Mapping

from gpushare.guard import ShareSlot
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import FULL, Percent

WINDOW_SECONDS = 5.0
_LEAST_SECONDS = 0.5
_NS = 1e9


_Slots = Mapping[GpuId, ShareSlot]


class ComputeDelivered:
    def __init__(self) -> None:
        # Counters as they were read: sums are made only when they are asked for.
        self._samples: dict[ShareId, deque[tuple[float, _Slots]]] = {}

    def add(self, share: ShareId, at: float, slots: _Slots) -> None:
        """A sample of the share's counters.

        `at` in seconds. Without share slots nothing is counted.
        """
        if not slots:
            return
        if (samples := self._samples.get(share)) is None:
            samples = self._samples[share] = deque()
        samples.append((at, slots))
        # The last sample before the window stays: without it the difference would cover less than
        # the window.
        while len(samples) > 2 and samples[1][0] <= at - WINDOW_SECONDS:
            samples.popleft()

    def percent(self, share: ShareId) -> Percent | None:
        """Of the time it wanted the GPU under turns, else of all time; None: not measured."""
        samples = self._samples.get(share)
        if not samples or (seconds := samples[-1][0] - samples[0][0]) < _LEAST_SECONDS:
            return None
        old, new = samples[0][1], samples[-1][1]
        if old is new:
            return None
        if (wanted := _wanted(new) - _wanted(old)) > 0:
            return _bounded((_delivered(new) - _delivered(old)) / wanted)
        if (busy := _busy(new) - _busy(old)) > 0:
            return _bounded(busy / (seconds * _NS * len(new)))
        return None

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        for ended in [share for share in self._samples if share not in shares]:
            del self._samples[ended]


def _wanted(slots: _Slots) -> int:
    return sum(slot.wanted_ns for slot in slots.values())


def _delivered(slots: _Slots) -> int:
    return sum(slot.open_ns + slot.overrun_ns for slot in slots.values())


def _busy(slots: _Slots) -> int:
    return sum(slot.busy_ns for slot in slots.values())


def _bounded(share: float) -> Percent:
    """The tenant can write the counters."""
    return Percent(max(0, min(FULL, round(share * FULL))))
