# SPDX-License-Identifier: Apache-2.0
"""Results of several runs as they lie in `benchmarks/results/<gpu>/runs`, one folder for each run.

No figure mixes runs: each run is evaluated by itself, and then the median over the runs is shown
with the smallest and the largest, and how many there are.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENOUGH_RUNS, ENOUGH_MACHINES = 3, 2  # for a row of the headline

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    path: Path
    body: Row

    @property
    def result(self) -> Any:
        return self.body["result"]

    @property
    def gpu(self) -> str:
        return str(self.body["gpu"]["uuid"])

    @property
    def boot(self) -> str:
        return str(self.body["host"]["boot"])


def runs(folder: Path, name: str) -> list[Run]:
    """In order of date; none where the part was not measured."""
    found = [
        Run(path, json.loads(path.read_text())) for path in folder.rglob(f"runs/**/{name}.json")
    ]
    return sorted(found, key=lambda run: run.body["date"])


def machines(of: Iterable[Run]) -> int:
    """One GPU after two starts of a machine is one, and so are two GPUs of one machine."""
    known = list(of)
    return min(len({run.gpu for run in known}), len({run.boot for run in known}))


def count(of: Sequence[Run]) -> str:
    """How many runs a figure is from."""
    if len(of) == 1:
        return "1 run"
    return f"{len(of)} runs, {machines(of)} machine{'s' if machines(of) != 1 else ''}"


def enough(of: Sequence[Run]) -> bool:
    return len(of) >= ENOUGH_RUNS and machines(of) >= ENOUGH_MACHINES


def spread(values: Sequence[float], form: str = "{:.2f}", unit: str = "") -> str:
    """The median, and the smallest and the largest where there are several."""
    middle = form.format(statistics.median(values))
    if len(values) > 1:
        middle += f" [{form.format(min(values))}, {form.format(max(values))}]"
    return middle + unit


def grouped(
    of: Sequence[Run], rows: Callable[[Run], Iterable[Row]], key: Sequence[str]
) -> dict[tuple[Any, ...], list[tuple[Run, Row]]]:
    """The rows of all runs by what they are about."""
    found: dict[tuple[Any, ...], list[tuple[Run, Row]]] = {}
    for run in of:
        for row in rows(run):
            found.setdefault(tuple(row.get(name) for name in key), []).append((run, row))
    return found


def index(folder: Path) -> str:
    """All results of the folder and what they were measured with, as the text of runs.json."""
    found = [
        {"file": str(path.relative_to(folder)), **_facts(json.loads(path.read_text()))}
        for path in sorted(folder.rglob("runs/**/*.json"))
    ]
    return json.dumps(found, indent=1) + "\n"


def _facts(body: Row) -> Row:
    facts = {name: body[name] for name in ("date", "commit", "tree", "dirty", "libgpushare")}
    return {**facts, "gpu": body["gpu"]["uuid"], "boot": body["host"]["boot"]}
