# SPDX-License-Identifier: Apache-2.0
"""Percentiles of windows, and how sure a ratio of two is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]

RESAMPLES = 1000
BLOCK_SECONDS = 1.0


@dataclass(frozen=True)
class Window:
    """What a service did with one schedule. Seconds; one entry per answered request."""

    arrivals: Times
    starts: Times
    ends: Times
    begin: float
    end: float
    offered: int
    wrong: int
    saturated: bool
    pace: Mapping[str, float | None] = field(default_factory=dict)  # as machine.Pace tells it

    @classmethod
    def of(cls, answer: dict[str, Any], pace: Mapping[str, float | None]) -> "Window":
        times = {name: np.asarray(answer[name]) for name in ("arrivals", "starts", "ends")}
        return cls(**{**answer, **times}, pace=pace)

    def times(self, kind: str) -> Times:
        """`response` counts from the arrival, `service` from the begin of the work."""
        return self.ends - (self.arrivals if kind == "response" else self.starts)

    def blocks(self, kind: str) -> list[Times]:
        """Times by the second in which their requests arrived."""
        second = ((self.arrivals - self.begin) / BLOCK_SECONDS).astype(int)
        times = self.times(kind)
        return [times[second == each] for each in np.unique(second)]


def mean_pace(windows: list[Window]) -> dict[str, float | None]:
    """Over all windows alike; None where one does not know."""
    found = {}
    for name in windows[0].pace:
        known = [each for each in (window.pace[name] for window in windows) if each is not None]
        whole = len(known) == len(windows)
        found[name] = round(sum(known) / len(known), 2) if whole else None
    return found


def p99(times: Times) -> float:
    return float(np.percentile(times, 99))


def interval(blocks: list[Times], base: list[Times]) -> tuple[float, float]:
    """95 % of p99(blocks) / p99(base), by resampling whole blocks.

    The same seconds are drawn on both sides, where both have them: one schedule made them.
    """
    chance = np.random.default_rng(0)
    paired = len(blocks) == len(base)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.integers(len(blocks), size=len(blocks))
        against = drawn if paired else chance.integers(len(base), size=len(base))
        above = np.concatenate([blocks[i] for i in drawn])
        ratios.append(p99(above) / p99(np.concatenate([base[i] for i in against])))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def compare(windows: list[Window], solo: list[Window], kind: str) -> dict[str, Any]:
    """Of all seeds together, and of each; milliseconds and ratios to solo."""
    times = np.concatenate([window.times(kind) for window in windows])
    base = np.concatenate([window.times(kind) for window in solo])
    low, high = interval(
        [block for window in windows for block in window.blocks(kind)],
        [block for window in solo for block in window.blocks(kind)],
    )
    each = [p99(w.times(kind)) / p99(s.times(kind)) for w, s in zip(windows, solo, strict=True)]
    return {
        "p5_ms": round(1000 * float(np.percentile(times, 5)), 4),
        "p50_ms": round(1000 * float(np.median(times)), 4),
        "p99_ms": round(1000 * p99(times), 4),
        "solo_p5_ms": round(1000 * float(np.percentile(base, 5)), 4),
        "solo_p50_ms": round(1000 * float(np.median(base)), 4),
        "solo_p99_ms": round(1000 * p99(base), 4),
        "p99_ratio": round(p99(times) / p99(base), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "by_seed": [round(ratio, 4) for ratio in each],
    }
