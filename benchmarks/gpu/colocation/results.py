# SPDX-License-Identifier: Apache-2.0
"""One file that several commands fill: a row replaces the older one of the same kind."""

from typing import Any

from benchmarks.gpu import machine

MODULE = "benchmarks.gpu.colocation"
KEY = ("lc", "be", "configuration", "load", "quantum_us", "grace_us", "slice_us")


def empty() -> dict[str, Any]:
    return {"rates": {}, "jobs": {}, "rows": [], "alone": []}


class Results:
    """`part` names the file: what is to be compared is measured together and is in one file.

    Without a part nothing is written.
    """

    def __init__(self, part: str | None) -> None:
        self._part, self._added = part, list[dict[str, Any]]()
        self._body: dict[str, Any] = (part and machine.load(part)) or empty()

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

    def add(self, row: dict[str, Any], table: str = "rows") -> None:
        rows: list[dict[str, Any]] = self._body[table]
        rows[:] = [each for each in rows if not _same(each, row)]
        rows.append({**row, **machine.stamp()})
        if table == "rows":
            self._added.append(row)
        self.save()

    def save(self) -> None:
        if self._part:
            machine.save(self._part, self._body, MODULE)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in KEY)
