# SPDX-License-Identifier: Apache-2.0
"""Tables of memory that leaves the GPU and comes back, and of what tenants get."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.runs import Row, Run, count, runs, spread
from benchmarks.tables import NOTHING, table

BASES = ("timeslice", "mps")
SECONDS = "{:.2f}"


def parts(folder: Path, base: str, name: str) -> list[tuple[Run, Row]]:
    """Of the runs that have the part and did not fail in it."""
    found = ((run, run.result.get(base, {}).get(name)) for run in runs(folder, "suspend"))
    return [(run, row) for run, row in found if row and "failed" not in row]


def suspend_table(folder: Path) -> str | None:
    head = ["over", "by", "out", "of it the guard", "in", "of it the guard", "memory", "runs"]
    return table(head, _suspended(folder))


def _suspended(folder: Path) -> Iterator[list[object]]:
    for base in BASES:
        moved = parts(folder, base, "moves")
        for name, rows in ways([row for _, row in moved]).items():
            cells = [spread([row[way][unit] for row in rows], SECONDS, " s")
                     for way in ("out", "in") for unit in ("wall_s", "own_s")]  # fmt: skip
            yield [base, name, *cells, _exact([row for _, row in moved]), _runs(moved)]
        driver = parts(folder, base, "checkpoint")
        if driver:
            yield _driver(base, driver)


def ways(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The moves of the runs by how host memory was."""
    if not rows:
        return {}
    middle = [
        {
            way: {unit: row["warm"]["median"][f"{way}_{unit}"] for unit in ("wall_s", "own_s")}
            for way in ("out", "in")
        }
        for row in rows
    ]
    return {
        "gpushare, host memory prepared": middle,
        "… not used in between": [row["warm"]["clean"] for row in rows],
        "… host memory not prepared": [row["cold"] for row in rows],
    }


def _driver(base: str, found: Sequence[tuple[Run, Row]]) -> list[object]:
    rows = [row for _, row in found]
    name = "the driver's checkpoint"
    if any(row.get("refused") for row in rows):
        return [base, name, "refused", NOTHING, rows[0]["refused"], *[NOTHING] * 2, _runs(found)]
    out, back = (
        spread([statistics.median(m[k] for m in row["moves"]) for row in rows], SECONDS, " s")
        for k in ("out_s", "in_s")
    )
    return [base, name, out, NOTHING, back, NOTHING, _exact(rows), _runs(found)]


def _exact(rows: Sequence[Row]) -> str:
    return "bit-exact" if all(row["bit_exact"] for row in rows) else "DIFFERENT"


def _runs(found: Sequence[tuple[Run, Row]]) -> str:
    return count([run for run, _ in found])


def cycles_table(folder: Path) -> str | None:
    head = ["over", "cycles", "training steps", "losses, weights, memory", "runs"]
    return table(head, _cycles(folder))


def _cycles(folder: Path) -> Iterator[list[object]]:
    for base in BASES:
        if found := parts(folder, base, "cycles"):
            cycles = sum(row["cycles"] for _, row in found)
            steps = sum(row["suspended"]["steps"] for _, row in found)
            exact = all(row["bit_exact"] for _, row in found)
            yield [base, cycles, steps, "equal, bit by bit" if exact else "DIFFERENT", _runs(found)]


def overcommit_table(folder: Path) -> str | None:
    found = runs(folder, "overcommit")
    head = [
        "jobs",
        "turn",
        "changes",
        "together",
        "one after the other",
        "ratio",
        "for each change",
    ]
    return table([*head, "memory", "runs"], [_overcommit(found)] if found else [])


def _overcommit(found: Sequence[Run]) -> list[object]:
    rows = [run.result for run in found]

    def each(name: str, unit: str = " s", form: str = "{:.1f}") -> str:
        return spread([row[name] for row in rows], form, unit)

    exact = all(row["bit_exact"] for row in rows)
    return [
        f"2 of {rows[0]['gib_each']} GiB on {rows[0]['gpu_gib']} GiB", f"{rows[0]['turn_s']:.0f} s",
        each("changes", "", "{:.0f}"), each("together_s"), each("one_after_the_other_s"),
        each("ratio", "", "{:.2f}"), each("change_s"),
        "equal, bit by bit" if exact else "DIFFERENT", count(found),
    ]  # fmt: skip


def tenants_table(folder: Path) -> str | None:
    """Each run by itself: its spread is that of time."""
    head = ["over", "with", "time", "parts of solo", "error in points", "least to largest in 10 s"]
    rows = [_parts(row) for run in runs(folder, "tenants") for row in run.result["rows"]]
    return table(head, rows)


def _parts(row: Row) -> list[str]:
    name = "**gpushare**" if row["with"] == "gpushare" else "no limits"
    reach = (f"{each['least']:.1f} to {each['largest']:.1f} %" for each in row["spread"])
    errors = ", ".join(f"{error:+.1f}" for error in row["error_points"])
    return [
        row["base"],
        name,
        f"{row['seconds']:.0f} s",
        ", ".join(f"{each:.1f} %" for each in row["part_of_solo"]),
        errors if row["with"] == "gpushare" else "-",
        "; ".join(reach),
    ]


def reclaim_table(folder: Path) -> str | None:
    """Each run by itself: its spread is that of the requests in it."""
    head = ["commit", "borrower holds", "request to grant", "to the first allocation"]
    head += ["request to grant at once, host memory not prepared", "memory"]
    rows = []
    for run in runs(folder, "reclaim"):
        commit = str(run.body["commit"])[:8]
        rows.append([commit, "nothing", *_waits(run.result["empty"]), NOTHING, NOTHING])
        rows += [
            [commit, f"{row['held_gib']} GiB", *_waits(row), _at_once(row), _intact(row)]
            for row in run.result["rows"]
        ]
    return table(head, rows)


def _at_once(row: Row) -> str:
    first = row.get("at_once")
    return f"{first['granted_s'] - first['queued_s']:.2f} s" if first else NOTHING


def _waits(row: Row) -> list[str]:
    """Median, least and largest."""
    figures = (row["waited_s"], row["allocated_s"])
    return [f"{it['median']:.2f} s [{it['least']:.2f}, {it['largest']:.2f}]" for it in figures]


def _intact(row: Row) -> str:
    return "intact" if row["intact"] and row["suspended_each_time"] else "NOT INTACT"
