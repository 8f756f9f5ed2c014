# SPDX-License-Identifier: Apache-2.0
"""The file of one run: a row replaces an older one of the same kind, raw samples lie next to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.gpu import machine

from .progress import Trace
from .stats import Window

MODULE = "benchmarks.gpu.colocation"
KEY = ("lc", "be", "configuration", "load", "quantum_us", "grace_us", "slice_us")
_US = 1e6


def empty() -> dict[str, Any]:
    return {"rates": {}, "jobs": {}, "rows": [], "alone": []}


class Results:
    """`part` names the file: what is to be compared is measured together and is in one file.

    Without a part nothing is written.
    """

    def __init__(self, part: str | None) -> None:
        self._part, self._added = part, list[dict[str, Any]]()
        self._body: dict[str, Any] = (part and machine.load(part)) or empty()
        self._samples: list[dict[str, Any]] = []

    @property
    def rates(self) -> dict[str, float]:
        """Requests per second of each service when they come back to back, measured once."""
        found: dict[str, float] = self._body["rates"]
        return found

    @property
    def jobs(self) -> dict[str, Any]:
        """Each job's step alone, natively: its throughput is what the others are divided by."""
        found: dict[str, Any] = self._body["jobs"]
        return found

    @property
    def added(self) -> list[dict[str, Any]]:
        """The rows of this command."""
        return self._added

    def has(self, key: dict[str, Any]) -> bool:
        """Whether this command has added the row."""
        return any(_same(each, key) for each in self._added)

    def keep(self, row: dict[str, Any], windows: Sequence[Window], traces: Sequence[Trace]) -> None:
        """The raw samples behind a row."""
        key = {name: row[name] for name in KEY if name in row}
        found = {
            "windows": [window_samples(each) for each in windows],
            "job": [trace_samples(each) for each in traces],
        }
        self._samples.append({**key, **found})

    def add(self, row: dict[str, Any], table: str = "rows") -> None:
        rows: list[dict[str, Any]] = self._body[table]
        rows[:] = [each for each in rows if not _same(each, row)]
        rows.append({**row, **machine.stamp()})
        if table == "rows":
            self._added.append(row)
        self.save()

    def save(self) -> None:
        if self._part:
            samples = self._samples or None
            machine.save(self._part, self._body, MODULE, solo_ms=self._solo(), samples=samples)

    def _solo(self) -> dict[str, float]:
        services = {name: round(1000 / rate, 4) for name, rate in self.rates.items() if rate}
        return {**services, **{name: each["step_ms"] for name, each in self.jobs.items()}}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in KEY)


def window_samples(window: Window) -> dict[str, Any]:
    """Microseconds: from arrival to arrival, and of each request how long it waited and took."""
    return {
        "arrival_us": _steps(window.arrivals - window.begin),
        "wait_us": _whole(window.starts - window.arrivals),
        "service_us": _whole(window.ends - window.starts),
    }


def trace_samples(trace: Trace) -> dict[str, Any]:
    """When the job's marks were seen to change, and by how many; both from one to the next."""
    return {
        "at_us": _steps(trace.times - trace.times[0]),
        "marks": np.diff(trace.marks, prepend=trace.marks[0]).astype(int).tolist(),
    }


def _whole(seconds: npt.NDArray[np.float64]) -> list[int]:
    rounded: list[int] = np.rint(seconds * _US).astype(int).tolist()
    return rounded


def _steps(seconds: npt.NDArray[np.float64]) -> list[int]:
    whole: list[int] = np.diff(np.rint(seconds * _US), prepend=0).astype(int).tolist()
    return whole
