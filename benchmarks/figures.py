# SPDX-License-Identifier: Apache-2.0
"""Draws the results of all runs: `python -m benchmarks.figures [FOLDER]`.

A picture says in its metadata what it was drawn from, and is drawn again only when that changes.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from benchmarks import colocation_tables, move_tables
from benchmarks.limit_tables import BASES, cap_rows
from benchmarks.results_of import DEFAULT, HEADLINE
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

DPI = 80
LOAD = 0.5
KINDS = ("response", "service")
COLOURS = {
    "time-slice": "tab:gray",
    "mps": "tab:brown",
    "mps+priority+25": "tab:red",
    "gpushare/mps": "tab:blue",
    "gpushare/time-slice": "tab:green",
    "hami-core": "tab:purple",
    "xsched": "tab:orange",
}
Points = dict[str, list[tuple[float, float, bool]]]


def plain(axes: Axes) -> None:
    """A logarithmic axis with ordinary numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    ticks = [a * 10**b for b in range(-2, 5) for a in (1, 2, 5)]
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])


def colocation(folder: Path) -> dict[str, Points]:
    """Of each pair and kind: by configuration the job's throughput, the ratio, and saturation."""
    found: dict[str, Points] = {}
    for (lc, be, load, name), each in colocation_tables.measured(folder).items():
        for kind in KINDS if (lc, be) in HEADLINE and load == LOAD else ():
            points = [
                (row["be_share"], row[kind]["p99_ratio"], row["saturated"])
                for _, row in each
                if kind in row
            ]
            found.setdefault(f"{lc} next to {be}: {kind}", {})[name] = points
    return found


def draw_colocation(data: dict[str, Points]) -> None:
    """Right and low is good; one mark for each run, a cross where the queue grows."""
    _, grid = plt.subplots(2, 2, figsize=(12, 8.4), squeeze=False)
    for axes, (title, points) in zip(grid.flat, data.items(), strict=False):
        for name, each in points.items():
            for number, (job, ratio, saturated) in enumerate(each):
                label = None if number else name
                colour = COLOURS.get(name.split("+")[0], COLOURS.get(name, "black"))
                axes.plot(job, ratio, "x" if saturated else "o", color=colour, label=label)
        axes.axhline(1.0, color="black", linewidth=0.5)
        plain(axes)
        axes.set_xlim(0, 1.05)
        axes.set_title(title)
        axes.set_xlabel("throughput of the job / solo")
        axes.set_ylabel("p99 / solo")
    grid[0][1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)


def caps(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Over each mechanism, by program and neighbour: limit and the median delivered."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for base in BASES:
        for (program, neighbour, limit), each in cap_rows(folder, base).items():
            middle = statistics.median(row["delivered"] for _, row in each)
            kind = f"{program}, neighbour: {neighbour}"
            found.setdefault(base, {}).setdefault(kind, []).append((limit, middle))
    return found


def draw_caps(data: dict[str, dict[str, list[tuple[int, float]]]]) -> None:
    _, grid = plt.subplots(1, len(data), figsize=(6 * len(data), 4), squeeze=False)
    for axes, (base, kinds) in zip(grid[0], data.items(), strict=True):
        bars(axes, kinds)
        axes.set_title(f"compute limits over {base}")


def bars(axes: Axes, kinds: dict[str, list[tuple[int, float]]]) -> None:
    levels = sorted({limit for each in kinds.values() for limit, _ in each})
    width = 0.8 / len(kinds)
    for at, (kind, each) in enumerate(kinds.items()):
        got = dict(each)
        places = [i + (at - len(kinds) / 2 + 0.5) * width for i in range(len(levels))]
        axes.bar(places, [got.get(level, 0) for level in levels], width, label=kind)
    for i, level in enumerate(levels):
        axes.hlines(level, i - 0.45, i + 0.45, color="black", linewidth=1)
    axes.set_xticks(range(len(levels)), [f"{level} %" for level in levels])
    axes.set_ylabel("delivered, percent of alone")
    axes.legend(fontsize=6)


def suspend(folder: Path) -> dict[str, tuple[float, float]]:
    """Medians of the seconds out and in, by how and over what."""
    found = {}
    for base in move_tables.BASES:
        rows = [row for _, row in move_tables.parts(folder, base, "moves")]
        for name, ways in move_tables.ways(rows).items():
            out, back = (statistics.median(w[d]["wall_s"] for w in ways) for d in ("out", "in"))
            found[f"{name}\n{base}"] = (out, back)
    return found


def draw_suspend(data: dict[str, tuple[float, float]]) -> None:
    _, axes = plt.subplots(figsize=(2.4 * len(data) + 2, 4))
    for shift, kind, at in ((-0.2, "out", 0), (0.2, "in", 1)):
        places = [i + shift for i in range(len(data))]
        drawn = axes.bar(places, [way[at] for way in data.values()], 0.4, label=kind)
        axes.bar_label(drawn, fmt="%.2f", fontsize=7)
    axes.set_xticks(range(len(data)), list(data), fontsize=7)
    plain(axes)
    axes.set_ylabel("seconds for 16 GiB")
    axes.legend()


PICTURES: dict[str, tuple[Callable[[Path], Any], Callable[[Any], None]]] = {
    "colocation": (colocation, draw_colocation),
    "caps": (caps, draw_caps),
    "suspend": (suspend, draw_suspend),
}


def picture(folder: Path, name: str) -> str:
    """What was done about it."""
    look, draw = PICTURES[name]
    data, path = look(folder), folder / f"{name}.png"
    if not data:
        path.unlink(missing_ok=True)
        return "not measured"
    source = sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    if path.exists() and source.encode() in path.read_bytes():
        return "unchanged"
    draw(data)
    plt.tight_layout()
    plt.savefig(path, dpi=DPI, metadata={"Source": source, "Software": None})
    plt.close()
    return str(path)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT)
    folder = parser.parse_args(words).folder
    for name in PICTURES:
        print(f"{name}: {picture(folder, name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
