# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.figures [FOLDER]`: draws the results, in their folder."""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from benchmarks.results_of import (
    DEFAULT,
    GRACE_US,
    HEADLINE,
    QUANTUM_US,
    Row,
    colocation,
    of_pair,
    part,
    usual,
)
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

DPI = 80
LOAD = 0.5
KINDS = ("response", "service")
COLOURS = {
    "time-slice": "tab:gray",
    "mps": "tab:brown",
    "mps+priority": "tab:olive",
    "mps+priority+50": "tab:orange",
    "mps+priority+25": "tab:red",
    "gpushare/mps": "tab:blue",
    "gpushare/mps+50": "tab:cyan",
    "gpushare/time-slice": "tab:green",
    "hami-core+30": "tab:pink",
    "hami-core+50": "hotpink",
    "xsched+4/2": "tab:purple",
    "xsched+16/8": "mediumpurple",
}


def save(folder: Path, name: str) -> None:
    plt.tight_layout()
    plt.savefig(folder / f"{name}.png", dpi=DPI)
    plt.close()


def plain(axes: Axes) -> None:
    """A logarithmic axis with ordinary numbers."""
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    ticks = [a * 10**b for b in range(-2, 5) for a in (1, 2, 5)]
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])


def scatter(axes: Axes, rows: list[Row], pair: tuple[str, str], kind: str) -> None:
    """Right and low is good."""
    for row in rows:
        if kind not in row:
            continue
        colour, marker = COLOURS.get(row["configuration"]), "x" if row["saturated"] else "o"
        label = row["configuration"] + (" (saturated)" if row["saturated"] else "")
        ratio = row[kind]["p99_ratio"]
        axes.plot(row["be_share"], ratio, marker, color=colour, label=label)
        if not row["saturated"]:
            axes.vlines(row["be_share"], row[kind]["low"], row[kind]["high"], color=colour)
    axes.axhline(1.0, color="black", linewidth=0.5)
    axes.set_yscale("log")
    plain(axes)
    axes.set_xlim(0, 1.05)
    axes.set_title(f"{pair[0]} next to {pair[1]}")
    axes.set_xlabel("throughput of the job / solo")
    axes.set_ylabel(f"{kind} p99 / solo")


def draw_colocation(folder: Path) -> bool:
    rows = [row for row in colocation(folder) if usual(row)]
    pairs = [pair for pair in HEADLINE if of_pair(rows, pair, LOAD)]
    if not pairs:
        return False
    _, grid = plt.subplots(len(pairs), 2, figsize=(12, 4.2 * len(pairs)), squeeze=False)
    for line, pair in zip(grid, pairs, strict=True):
        for axes, kind in zip(line, KINDS, strict=True):
            scatter(axes, of_pair(rows, pair, LOAD), pair, kind)
    handles, labels = grid[0][0].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    legend = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "fontsize": 8}
    grid[0][1].legend(known.values(), known.keys(), **legend)
    save(folder, "colocation")
    return True


def draw_ablation(folder: Path) -> bool:
    rows = colocation(folder, "ablation")
    varied = {
        "quantum_us": [row for row in rows if row["grace_us"] == GRACE_US],
        "grace_us": [row for row in rows if row["quantum_us"] == QUANTUM_US],
    }
    varied = {name: found for name, found in varied.items() if any(not usual(r) for r in found)}
    if not varied:
        return False
    _, grid = plt.subplots(1, len(varied), figsize=(5.5 * len(varied), 4), squeeze=False)
    for axes, (name, found) in zip(grid[0], varied.items(), strict=True):
        curves(axes, name, found)
    save(folder, "ablation")
    return True


def curves(axes: Axes, name: str, rows: list[Row]) -> None:
    """Every value has its place, at equal distances; grace begins with the learned one."""
    values = sorted({row[name] for row in rows})
    cases = sorted({(r["lc"], r["be"], r["load"], r["configuration"]) for r in rows})
    for case in cases:
        mine = [r for r in rows if (r["lc"], r["be"], r["load"], r["configuration"]) == case]
        mine = sorted((r for r in mine if "service" in r), key=lambda r: r[name])
        if len(mine) < 2:
            continue
        places = [values.index(r[name]) for r in mine]
        label = f"{case[0]} + {case[1]}, {case[3]}"
        [line] = axes.plot(places, [r["service"]["p99_ratio"] for r in mine], "o-", label=label)
        axes.plot(places, [r["be_share"] for r in mine], "s--", color=line.get_color())
    axes.set_xticks(range(len(values)), [_value(name, value) for value in values])
    axes.set_xlabel(f"{name.removesuffix('_us')} in µs")
    axes.set_ylabel("— service p99 / solo   - - job / solo")
    axes.legend(fontsize=7)


def _value(name: str, value: int) -> str:
    special = {0: "learned", 1: "none"} if name == "grace_us" else {}
    return special.get(value, str(value))


def draw_caps(folder: Path) -> bool:
    found: dict[str, Any] = part(folder, "caps") or {}
    if not found:
        return False
    _, grid = plt.subplots(1, len(found), figsize=(6 * len(found), 4), squeeze=False)
    for axes, (base, each) in zip(grid[0], found.items(), strict=True):
        bars(axes, base, each["rows"])
    save(folder, "caps")
    return True


def bars(axes: Axes, base: str, rows: list[Row]) -> None:
    kinds = list(dict.fromkeys((row["program"], row["neighbour"]) for row in rows))
    levels = sorted({row["limit"] for row in rows})
    width = 0.8 / len(kinds)
    for at, kind in enumerate(kinds):
        mine = {r["limit"]: r["delivered"] for r in rows if (r["program"], r["neighbour"]) == kind}
        places = [i + (at - len(kinds) / 2 + 0.5) * width for i in range(len(levels))]
        heights = [mine.get(level, 0) for level in levels]
        axes.bar(places, heights, width, label=f"{kind[0]}, neighbour: {kind[1]}")
    for i, level in enumerate(levels):
        axes.hlines(level, i - 0.45, i + 0.45, color="black", linewidth=1)
    axes.set_xticks(range(len(levels)), [f"{level} %" for level in levels])
    axes.set_ylabel("delivered, percent of alone")
    axes.set_title(f"compute limits over {base}")
    axes.legend(fontsize=6)


def draw_suspend(folder: Path) -> bool:
    found: dict[str, Any] = part(folder, "suspend") or {}
    labels: list[str] = []
    times: list[tuple[float, float]] = []
    for base, each in found.items():
        for name, way in (_suspended(each) if base != "gib" else {}).items():
            labels.append(f"{name}\n{base}")
            times.append(way)
    if not labels:
        return False
    _, axes = plt.subplots(figsize=(1.6 * len(labels) + 2, 4))
    for shift, kind, at in ((-0.2, "out", 0), (0.2, "in", 1)):
        places = [i + shift for i in range(len(labels))]
        drawn = axes.bar(places, [way[at] for way in times], 0.4, label=kind)
        axes.bar_label(drawn, fmt="%.2f", fontsize=7)
    axes.set_xticks(range(len(labels)), labels, fontsize=7)
    axes.set_yscale("log")
    plain(axes)
    axes.set_ylabel(f"seconds for {found.get('gib')} GiB")
    axes.legend()
    save(folder, "suspend")
    return True


def _suspended(found: Row) -> dict[str, tuple[float, float]]:
    made = {}
    moves, driver = found.get("moves", {}), found.get("checkpoint", {})
    if "warm" in moves:
        middle, cold = moves["warm"]["median"], moves["cold"]
        made["warm"] = (middle["out_own_s"], middle["in_own_s"])
        made["cold"] = (cold["out"]["own_s"], cold["in"]["own_s"])
    if driver.get("moves"):
        out, back = (statistics.median(m[k] for m in driver["moves"]) for k in ("out_s", "in_s"))
        made["driver"] = (out, back)
    return made


FIGURES: dict[str, Callable[[Path], bool]] = {
    "colocation": draw_colocation,
    "ablation": draw_ablation,
    "caps": draw_caps,
    "suspend": draw_suspend,
}


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    for name, draw in FIGURES.items():
        print(f"{name}: {folder / name}.png" if draw(folder) else f"{name}: not measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
