# SPDX-License-Identifier: Apache-2.0
"""One file that several commands fill: a row replaces the older one of the same kind."""

from typing import Any

from benchmarks.gpu import machine

MODULE = "benchmarks.gpu.colocation"
KEY = ("lc", "be", "configuration", "load", "quantum_us", "grace_us", "slice_us")


def empty() -> dict[str, Any]:
    return {"rates": {}, "jobs": {}, "rows": [], "alone": []}


class Results:
    """`part` names the file: what is to be compared is measured together and is in one file."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._body: dict[str, Any] = machine.load(part) or empty()

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

    def add(self, row: dict[str, Any], table: str = "rows") -> None:
        rows: list[dict[str, Any]] = self._body[table]
        rows[:] = [each for each in rows if any(each.get(k) != row.get(k) for k in KEY)]
        rows.append({**row, **machine.stamp()})
        self.save()

    def save(self) -> None:
        machine.save(self._part, self._body, MODULE)
