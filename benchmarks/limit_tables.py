# SPDX-License-Identifier: Apache-2.0
"""Tables of what limits deliver: compute limits, allocations past a limit, races, overhead."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.runs import Row, Run, count, grouped, runs, spread
from benchmarks.tables import NOTHING, table

BASES = ("timeslice", "mps")
GOAL_POINTS = 2.0
Each = Sequence[tuple[Run, Row]]
KEY = ("program", "neighbour", "limit")


def cap_rows(folder: Path, base: str) -> dict[tuple[Any, ...], Each]:
    return dict(grouped(runs(folder, f"caps-{base}"), lambda run: run.result["rows"], KEY))


def caps_table(folder: Path) -> str | None:
    head = ["over", "program", "neighbour", "limit", "delivered", "error", "changed after"]
    head += ["converged", "neighbour got", "SM clock", "runs"]
    return table(head, _caps(folder))


def _caps(folder: Path) -> Iterator[list[object]]:
    for base in BASES:
        for (program, neighbour, limit), each in cap_rows(folder, base).items():
            rows = [row for _, row in each]
            yield [
                base, program, neighbour, f"{limit} %",
                _all([row["delivered"] for row in rows], "{:.1f}", " %"),
                _all([row["error"] for row in rows], "{:+.1f}"),
                _all([_ms(row.get("lag_s")) for row in rows], "{:.0f}", " ms"),
                _converged(rows),
                _all([row["neighbour_delivered"] for row in rows], "{:.1f}", " %"),
                _all([row["pace"].get("sm_mhz") for row in rows], "{:.0f}", " MHz"),
                count([run for run, _ in each]),
            ]  # fmt: skip


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _all(values: Sequence[float | None], form: str, unit: str = "") -> str:
    known = [value for value in values if value is not None]
    return spread(known, form, unit) if known else NOTHING


def _converged(rows: Sequence[Row]) -> str:
    """When it left the band for the last time; what was outside at the end has not converged."""
    known = [row["converged"].get("stays_s") for row in rows]
    stayed = [value for value in known if value is not None]
    if len(stayed) < len(known):
        return f"not in {len(known) - len(stayed)} of {len(known)}"
    return spread(stayed, "{:.2f}", " s")


def errors(folder: Path, base: str) -> list[float]:
    """Each limit's median error over the runs, in points."""
    found = cap_rows(folder, base)
    return [statistics.median(row["error"] for _, row in each) for each in found.values()]


def leaks_table(folder: Path) -> str | None:
    """Of each path the run with the largest error."""
    found = grouped(runs(folder, "leaks"), lambda run: run.result["rows"], ("path",))
    head = ["path", "charged MiB", "on the GPU MiB", "overhead MiB", "error MiB", "verdict", "runs"]
    return table(head, (_leak(path, each) for (path,), each in found.items()))


def _leak(path: str, each: Each) -> list[object]:
    done = [row for _, row in each if "failed" not in row]
    number = count([run for run, _ in each])
    if not done:
        return [path, *[NOTHING] * 4, "failed", number]
    worst = max(done, key=lambda row: float(row["error_mib"]))
    card = NOTHING if worst["card_mib"] is None else f"{worst['card_mib']:.1f}"
    verdict = "LEAK" if worst["leak"] else "held"
    if not worst["leak"] and not worst["exact"]:
        verdict = f"held; asked in steps of {worst['step_mib']:.0f} MiB"
    return [
        path, f"{worst['charged_mib']:.1f}", card, f"{worst['overhead_mib']:.0f}",
        f"{worst['error_mib']:.1f}", verdict, number,
    ]  # fmt: skip


WAYS = {
    "alloc": "cuMemAlloc",
    "create": "cuMemCreate",
    "async": "cuMemAllocAsync",
    "mixed": "all three mixed",
}


def race_table(folder: Path) -> str | None:
    head = ["path", "requests", "refused", "charged at most", "on the GPU at most", "overshoot"]
    found = runs(folder, "race")
    return table([*head, "runs"], (_race(way, found) for way in WAYS if found))


def _race(way: str, of: Sequence[Run]) -> list[object]:
    rows = [run.result["ways"][way] for run in of if way in run.result["ways"]]

    def most(name: str) -> float:
        return max((float(row[name]) for row in rows), default=0.0)

    over = max(most("overshoot_by_charge_mib"), most("overshoot_on_the_card_mib"))
    return [
        WAYS[way], f"{sum(row['requests'] for row in rows):,}",
        f"{sum(row['denied'] for row in rows):,}", f"{most('charged_peak_mib'):.1f} MiB",
        f"{most('card_growth_peak_mib'):.1f} MiB", f"{over:.1f} MiB" if over else "0", count(of),
    ]  # fmt: skip


SIDES = ("without", "with", "low")


def overhead_table(folder: Path) -> str | None:
    found = runs(folder, "overhead")
    names = list(dict.fromkeys(name for run in found for name in run.result["calls"]))
    steps = list(dict.fromkeys(name for run in found for name in run.result["training"]))
    rows = [_cost(name, [run.result["calls"] for run in found], "µs", 1000) for name in names]
    rows += [_cost(name, [run.result["training"] for run in found], "ms", 1) for name in steps]
    head = ["call", "without gpushare", "in a share", "in a share of low priority"]
    return table([*head, "runs"], [[*row, count(found)] for row in rows])


def _cost(name: str, found: Sequence[Mapping[str, Any]], unit: str, by: float) -> list[str]:
    cells = [name.removesuffix("_ms").replace("_", " ")]
    for side in SIDES:
        here = [each[name][side] for each in found if side in each.get(name, {})]
        if not here:
            cells.append(NOTHING)
            continue
        middle = statistics.median(each["median"] for each in here) / by
        percents = [each["added_percent"] for each in here]
        added = "" if side == "without" else f" ({spread(percents, '{:+.1f}')} %)"
        cells.append(f"{middle:.3g} {unit}{added}")
    return cells


def caps_peers_table(_folder: Path) -> str | None:
    return table(
        ["system", "program", "limit", "delivered"],
        ([*row[:2], f"{row[2]} %", f"{row[3]} %"] for row in peers.CAPS),
    )
