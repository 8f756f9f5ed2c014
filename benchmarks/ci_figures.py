# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001 (Chinese has punctuation of its own)
"""Tables of what was measured without a GPU, from `benchmarks/results/ci`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results_of import HERE
from benchmarks.tables import table

CI = HERE / "results" / "ci"
IDLE = "idle_100"
# What, the goal, where it is in load.json, and the unit.
LOAD = (
    ("a new share behind 372 that wait", "100 ms", "queue/create_behind_372/median_ms", "ms"),
    ("lists of 200 shares a second", "200", "calls/list_of_200/per_second", ""),
    ("metrics of 200 shares a second", "50", "calls/metrics/per_second", ""),
    ("p99 of lists of 20 shares at 1,000 requests a second", "50 ms",
     "short_list/list_of_20_at_1000/p99_ms", "ms"),
    ("… of the version at 1,000 a second", "50 ms", "calls/version_at_1000/p99_ms", "ms"),
    ("… of one share of 200, at 1,000 a second", "50 ms", "calls/one_share_at_1000/p99_ms", "ms"),
    ("CPU with 100 idle programs", "1 %", "idle_100/idle_100/cpu_percent_of_a_core", "% of a core"),
    ("memory with 100 idle programs", "80 MB", "idle_100/idle_100/rss_mb", "MB"),
    ("CPU with 500 idle programs", "2 %", "idle_500/idle_500/cpu_percent_of_a_core", "% of a core"),
)  # fmt: skip


def _read(name: str) -> Any:
    path = CI / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _spread(path: str) -> list[float] | None:
    found = (_read("load") or {}).get("smallest_median_largest", {})
    for step in path.split("/"):
        found = found.get(step, {}) if isinstance(found, dict) else {}
    return list(found) if isinstance(found, list) else None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def load_table(_folder: Path) -> str | None:
    rows = []
    for what, goal, path, unit in LOAD:
        if found := _spread(path):
            rows.append([what, goal, *map(_number, found), unit])
    return table(["what", "goal", "smallest", "median", "largest", "unit"], rows)


def _shown(path: str, unit: str) -> str:
    least, middle, most = map(_number, _spread(path) or [0.0] * 3)
    return f"{middle} [{least}, {most}] {unit}"


def _rows(*, chinese: bool) -> Iterator[list[str]]:
    start = _read("startup")
    if start:
        took = start["commands"]
        name = "`gpushare run -- true` 增加；`gpushare ps` 用时" if chinese else (
            "`gpushare run -- true` adds; `gpushare ps` takes")  # fmt: skip
        figures = (
            f"{took['run adds']['median_ms']:.0f} ms; {took['gpushare ps']['median_ms']:.0f} ms"
        )
        yield [name, figures, "ci/startup"]
    if _spread(f"{IDLE}/{IDLE}/rss_mb"):
        name = "守护进程：8 块模拟 GPU、100 个空闲进程" if chinese else (
            "daemon with 8 simulated GPUs and 100 idle processes")  # fmt: skip
        core = "个核的 %" if chinese else "% of a core"
        figures = [
            _shown(f"{IDLE}/{IDLE}/rss_mb", "MB"),
            _shown(f"{IDLE}/{IDLE}/cpu_percent_of_a_core", core),
        ]
        yield [name, "; ".join(figures), "ci/load"]


def ci_figures_table(_folder: Path) -> str | None:
    return table(["what", "result", "file"], _rows(chinese=False))


def ci_figures_zh_table(_folder: Path) -> str | None:
    return table(["项目", "结果", "文件"], _rows(chinese=True))
