# SPDX-License-Identifier: Apache-2.0
"""Tables of what tenants get on a real GPU: parts of compute, and memory taken back."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.results_of import Row, part


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def tenants_table(folder: Path) -> str | None:
    found = part(folder, "tenants")
    if found is None:
        return None
    head = ["over", "with", "time", "parts of solo", "error in points", "least to largest in 10 s"]
    return table(head, [_parts(row) for row in found["rows"]])


def _parts(row: Row) -> list[str]:
    name = "**gpushare**" if row["with"] == "gpushare" else "no limits"
    spread = (f"{each['least']:.1f} to {each['largest']:.1f} %" for each in row["spread"])
    errors = ", ".join(f"{error:+.1f}" for error in row["error_points"])
    return [
        row["base"],
        name,
        f"{row['seconds']:.0f} s",
        ", ".join(f"{each:.1f} %" for each in row["part_of_solo"]),
        errors if row["with"] == "gpushare" else "-",
        "; ".join(spread),
    ]


def reclaim_table(folder: Path) -> str | None:
    found = part(folder, "reclaim")
    if found is None:
        return None
    rows = [["nothing", *_waits(found["empty"]), "-"]]
    rows += [[f"{row['held_gib']} GiB", *_waits(row), _intact(row)] for row in found["rows"]]
    return table(["borrower holds", "request to grant", "to the first allocation", "memory"], rows)


def _waits(row: Row) -> list[str]:
    """Median, least and largest."""
    figures = (row["waited_s"], row["allocated_s"])
    return [f"{it['median']:.2f} s [{it['least']:.2f}, {it['largest']:.2f}]" for it in figures]


def _intact(row: Row) -> str:
    return "intact" if row["intact"] and row["suspended_each_time"] else "NOT INTACT"
