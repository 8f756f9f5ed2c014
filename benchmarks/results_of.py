# SPDX-License-Identifier: Apache-2.0
"""Results of one GPU as they lie in `benchmarks/results/<gpu>`."""

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.colocation.configurations import Configuration

HERE = Path(__file__).parent
DEFAULT = HERE / "results" / "h200"
_USUAL = Configuration("usual")  # what is measured unless something is varied
QUANTUM_US, GRACE_US = _USUAL.quantum_us, _USUAL.grace_us
HEADLINE = (("bert", "resnet50"), ("llm", "gpt"))

Row = dict[str, Any]


def part(folder: Path, name: str) -> Any:
    """The result of a part; None where it was not measured."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text())["result"] if path.exists() else None


def usual(row: Row) -> bool:
    quantum = row.get("quantum_us", QUANTUM_US)
    return bool(quantum == QUANTUM_US and row.get("grace_us", GRACE_US) == GRACE_US)


def colocation(folder: Path, name: str = "colocation") -> list[Row]:
    found = part(folder, name)
    return found["rows"] if found else []


def of_pair(rows: list[Row], pair: tuple[str, str], load: float) -> list[Row]:
    lc, be = pair
    return [row for row in rows if (row["lc"], row["be"], row["load"]) == (lc, be, load)]
