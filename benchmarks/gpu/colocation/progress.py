# SPDX-License-Identifier: Apache-2.0
"""How far a job got, in seconds of its work when it has the GPU alone."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .page import Page

PERIOD = 0.0005
LAG_SPAN = 0.6
SPAN = 0.5  # seconds over which a limit is looked at

Numbers = npt.NDArray[np.float64]


class Sampler(threading.Thread):
    """Notes when a job's count of marks changed."""

    def __init__(self, page: Page) -> None:
        super().__init__(daemon=True)
        self._page, self._ended = page, threading.Event()
        self._times: list[float] = [time.monotonic()]
        self._marks: list[int] = [page.marks]

    def run(self) -> None:
        while not self._ended.is_set():
            marks = self._page.marks
            if marks != self._marks[-1]:
                self._times.append(time.monotonic())
                self._marks.append(marks)
            time.sleep(PERIOD)

    def end(self) -> "Trace":
        self._ended.set()
        self.join()
        return Trace(np.asarray(self._times), np.asarray(self._marks, dtype=np.float64))


@dataclass(frozen=True)
class Trace:
    times: Numbers
    marks: Numbers

    def at(self, moments: Numbers) -> Numbers:
        """Marks passed, between two marks in proportion to time."""
        return np.interp(moments, self.times, self.marks)


@dataclass(frozen=True)
class Profile:
    """Where in a step its marks lie when the job is alone, and how long a step takes then."""

    places: Numbers  # from 0 to 1, one more than there are marks in a step
    step_s: float

    @classmethod
    def of(cls, trace: Trace, per_step: int) -> "Profile":
        """From whole steps of a trace; the first is left out."""
        first, last = int(trace.marks[0] // per_step) + 1, int(trace.marks[-1] // per_step)
        if last - first < 2:
            raise ValueError("too few steps to tell how long one takes")
        wanted = np.arange(first * per_step, last * per_step + 1, dtype=np.float64)
        passed = np.interp(wanted, trace.marks, trace.times)
        gaps = np.diff(passed).reshape(-1, per_step).mean(axis=0)
        places = np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])
        return cls(places, float((passed[-1] - passed[0]) / (last - first)))

    def work(self, marks: Numbers) -> Numbers:
        """Seconds that so many marks take alone."""
        per_step = len(self.places) - 1
        whole = np.floor(marks / per_step)
        rest = np.interp(marks - whole * per_step, np.arange(per_step + 1), self.places)
        return np.asarray((whole + rest) * self.step_s)

    def delivered(self, trace: Trace, begin: float, end: float) -> float:
        """The part of its throughput alone that the job had between two moments."""
        done = self.work(trace.at(np.asarray([begin, end])))
        return float((done[1] - done[0]) / (end - begin))

    def lag(self, trace: Trace, begin: float, before: float, after: float) -> float:
        """Seconds by which a change at `begin` was late, in the work of the time that follows.

        It lacks or exceeds what a change at once would have given by `lag * (before - after)`.
        """
        done = self.delivered(trace, begin, begin + LAG_SPAN) * LAG_SPAN
        return (done - after * LAG_SPAN) / (before - after)

    def settled(self, trace: Trace, begin: float, aim: float, within: float) -> dict[str, float]:
        """Seconds from `begin` until the last half second was within `within` of `aim`.

        `first_s`: for the first time; `stays_s`: from then on always. Left out when never.
        """
        moments = np.arange(begin + SPAN, trace.times[-1], 0.01)
        done = self.work(trace.at(moments)) - self.work(trace.at(moments - SPAN))
        right = np.abs(done / SPAN - aim) <= within
        found = {}
        if right.any():
            found["first_s"] = round(float(moments[right.argmax()] - begin), 3)
        if len(right) and right[-1]:
            last = len(right) - 1 - right[::-1].argmin() if not right.all() else -1
            found["stays_s"] = round(float(moments[last + 1] - begin), 3)
        return found
