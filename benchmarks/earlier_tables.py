# SPDX-License-Identifier: Apache-2.0
"""Figures of an earlier version, for parts that have not been measured again.

They are of one run, of a guard whose hash was not kept, in regions that the benchmark made itself.
A row disappears when its part has a run with the guard that ships.
"""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.runs import runs
from benchmarks.tables import table

_S = "{:.2f} s"
BASES = ("timeslice", "mps")


def _read(folder: Path, name: str) -> Any:
    path = folder / "earlier" / f"{name}.json"
    return json.loads(path.read_text())["result"] if path.exists() else None


def checkpoint(folder: Path) -> str | None:
    found = _read(folder, "suspend")
    rows = found["timeslice"]["checkpoint"]["moves"] if found else ()
    names = ("out_s", "in_s")
    return "; ".join(_S.format(statistics.median(row[n] for row in rows)) for n in names) or None


def _cycles(folder: Path) -> str | None:
    found = _read(folder, "suspend")
    made = found["mps"]["cycles"] if found else {}
    same = "identical bit by bit" if made.get("bit_exact") else "DIFFERENT"
    return f"{made['cycles']} times: {same}" if made else None


def _call(folder: Path, kind: str, name: str, side: str, unit: str = "µs") -> str | None:
    found = _read(folder, "overhead")
    if not found:
        return None
    by = 1000 if unit == "µs" else 1
    sides = (found[kind][name][each]["median"] / by for each in (side, "without"))
    return "; ".join(f"{took:.3g} {unit}" for took in sides)


def _caps(folder: Path) -> str | None:
    found = _read(folder, "caps")
    known = [row["error"] for row in found["mps"]["rows"]] if found else []
    inside = sum(abs(error) <= 2.0 for error in known)
    return f"{inside} / {len(known)}; {min(known):+.1f} … {max(known):+.1f}" if known else None


def _rows(folder: Path) -> Iterator[tuple[str, str, str | None]]:
    """The part, what, and the figure."""
    driver = "16 GiB off the GPU; and back, by the driver's checkpoint, without gpushare"
    yield "suspend/checkpoint", driver, checkpoint(folder)
    yield "suspend/cycles", "a training job suspended at random, over MPS", _cycles(folder)
    yield "caps-mps", "compute limits over MPS within 2 points / tried; errors", _caps(folder)
    launch = _call(folder, "calls", "launch", "movable")
    yield "overhead", "an empty kernel launch in a share; without gpushare", launch
    pooled = _call(folder, "calls", "alloc_free_16MiB", "movable")
    yield "overhead", "`cuMemAlloc` + `cuMemFree` of 16 MiB in a share; without", pooled
    later = _call(folder, "calls", "alloc_async_free_2MiB", "movable")
    yield "overhead", "`cuMemAllocAsync` + `cuMemFreeAsync` of 2 MiB in a share; without", later
    step = _call(folder, "training", "resnet50_step_ms", "low", "ms")
    yield "overhead", "a ResNet-50 training step at low priority; without", step


def _measured(folder: Path, part: str) -> bool:
    """Whether it has a run with the guard that ships."""
    name, _, piece = part.partition("/")
    found = [run.result for run in runs(folder, name)]
    return any(not piece or any(piece in result.get(b, {}) for b in BASES) for result in found)


def earlier_table(folder: Path) -> str | None:
    open_rows = (
        [what, figure, f"earlier/{part.partition('-')[0].partition('/')[0]}"]
        for part, what, figure in _rows(folder)
        if figure and not _measured(folder, part)
    )
    return table(["what", "result", "file"], open_rows)
