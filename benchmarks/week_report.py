# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.week_report`: the week's table in docs/explanation/fairness.md, its figure.

The table stands between `<!-- table: week -->` and `<!-- end -->`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.tables import table

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "ci" / "week.json"
FIGURE = RESULT.with_suffix(".png")
PAGE = ROOT / "docs" / "explanation" / "fairness.md"
MARKED = re.compile(r"(<!-- table: week -->\n).*?(<!-- end -->)", re.DOTALL)
HOUR = 3600
HEAD = (
    "load", "way", "Jain index", "mean wait", "median", "p95", "compute used", "memory used",
    "suspended, ended", "lost", "never",
)  # fmt: skip


def week_table(found: dict[str, Any]) -> str:
    return table(HEAD, [_line(row) for row in found["summary"]])


def _line(row: dict[str, Any]) -> list[str]:
    acts = f"{row['suspended']['mean']:.0f}, {row['evicted']['mean']:.0f}"
    way = row["way"]
    return [
        f"{row['load']}",
        f"**{way}**" if way.startswith("gpushare") else way,
        _spread(row["jain"], "{:.2f}"),
        _spread(row["wait_mean"], "{:.1f}", HOUR) + " h",
        f"{row['wait_median']['mean'] / HOUR:.1f} h",
        f"{row['wait_p95']['mean'] / HOUR:.1f} h",
        _spread(row["compute_used"], "{:.0f}", 0.01) + " %",
        _spread(row["memory_used"], "{:.0f}", 0.01) + " %",
        acts if "gpushare" in way else "-",
        f"{row['lost_hours']['mean']:.1f} h" if "gpushare" in way else "-",
        f"{row['never']['mean']:.0f}",
    ]


def _spread(figure: dict[str, float], form: str, unit: float = 1.0) -> str:
    """The mean over the seeds, with the least and the largest."""
    mean, least, largest = (form.format(figure[k] / unit) for k in ("mean", "least", "largest"))
    return f"{mean} [{least}, {largest}]"


def filled(text: str, found: dict[str, Any]) -> str:
    return MARKED.sub(lambda match: f"{match[1]}{week_table(found)}{match[2]}", text)


def draw(found: dict[str, Any], path: Path) -> None:
    """Jain index against the mean wait, one point for each seed."""
    import matplotlib as mpl  # noqa: PLC0415 (not needed for the table)

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    loads = found["loads"]
    _, axes = plt.subplots(1, len(loads), figsize=(5 * len(loads) + 1, 4), squeeze=False)
    for one, load in zip(axes[0], loads, strict=True):
        for way in dict.fromkeys(row["way"] for row in found["rows"]):
            rows = [r for r in found["rows"] if (r["way"], r["load"]) == (way, load)]
            waits = [max(0.01, row["wait"]["mean"] / HOUR) for row in rows]
            one.scatter(waits, [row["jain"] for row in rows], label=way, alpha=0.8)
        one.set_xscale("log")
        one.set_xlabel("mean wait, hours")
        one.set_title(f"asked for: {load:.0%} of the machine")
    axes[0][0].set_ylabel("Jain index of satisfaction")
    axes[0][0].legend(fontsize=8)
    plt.tight_layout()
    plt.savefig(path, dpi=80)
    plt.close()


def main() -> int:
    found = json.loads(RESULT.read_text())
    PAGE.write_text(filled(PAGE.read_text(), found))
    draw(found, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
