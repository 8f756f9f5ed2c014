# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501, RUF001 (Chinese has punctuation and widths of its own)
"""The table of figures of README.md and README.zh-CN.md: each row names the file it is from."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import earlier_tables
from benchmarks.limit_tables import errors
from benchmarks.move_tables import parts
from benchmarks.runs import Run, count, runs, spread
from benchmarks.tables import table

_S = "{:.2f}"
Result = Callable[[Path], tuple[str, list[Run]] | None]


@dataclass(frozen=True)
class Figure:
    """What a row says in two languages; `file` is a name in the runs of a GPU."""

    english: str
    chinese: str
    file: str
    result: Result


def _of(name: str, form: Callable[[list[Run]], str]) -> Result:
    def found(folder: Path) -> tuple[str, list[Run]] | None:
        of = runs(folder, name)
        return (form(of), of) if of else None

    return found


def _leaks(of: list[Run]) -> str:
    rows = [row for run in of for row in run.result["rows"] if "failed" not in row]
    tried = len({row["path"] for row in rows})
    return f"{len({row['path'] for row in rows if row['leak']})} / {tried}"


def _overhead_memory(of: list[Run]) -> str:
    found = [row["overhead_mib"] for run in of for row in run.result["rows"]
             if row.get("overhead_mib", 0) > 1]  # fmt: skip
    return f"{min(found):.0f} – {max(found):.0f} MiB" if found else "0 MiB"


def _overshoot(of: list[Run]) -> str:
    names = ("overshoot_by_charge_mib", "overshoot_on_the_card_mib")
    worst = max(way[name] for run in of for way in run.result["ways"].values() for name in names)
    return f"{worst:.0f} MiB"


def _caps(base: str) -> Result:
    def found(folder: Path) -> tuple[str, list[Run]] | None:
        known = errors(folder, base)
        if not known:
            return None
        inside = sum(abs(error) <= 2.0 for error in known)
        worst = f"{min(known):+.1f} … {max(known):+.1f}"
        return f"{inside} / {len(known)}; {worst}", runs(folder, f"caps-{base}")

    return found


def _moves(base: str, way: str) -> Result:
    """Out and in, as the caller waits."""

    def found(folder: Path) -> tuple[str, list[Run]] | None:
        of = parts(folder, base, "moves")
        if not of:
            return None
        pairs = [_pair(row, way) for _, row in of]
        out, back = (spread([pair[at] for pair in pairs], _S, " s") for at in (0, 1))
        return f"{out}; {back}", [run for run, _ in of]

    return found


def _pair(row: Any, way: str) -> tuple[float, float]:
    if way == "warm":
        middle = row["warm"]["median"]
        return middle["out_wall_s"], middle["in_wall_s"]
    return row[way]["out"]["wall_s"], row[way]["in"]["wall_s"]


def _checkpoint(folder: Path) -> tuple[str, list[Run]] | None:
    of = [(run, row) for run, row in parts(folder, "timeslice", "checkpoint") if row.get("moves")]
    if not of:
        return None
    found = (
        spread([statistics.median(m[way] for m in row["moves"]) for _, row in of], _S, " s")
        for way in ("out_s", "in_s")
    )
    return "; ".join(found), [run for run, _ in of]


def _ratio(of: list[Run]) -> str:
    turn = of[-1].result["turn_s"]
    return f"{spread([run.result['ratio'] for run in of])} (turns of {turn:.0f} s)"


def _added(call: str, side: str, kind: str = "calls", by: float = 1000, unit: str = "µs") -> Result:
    """What the side takes, and what it takes more than without gpushare."""

    def form(of: list[Run]) -> str:
        rows = [run.result[kind][call] for run in of if call in run.result[kind]]
        took = statistics.median(row[side]["median"] for row in rows) / by
        bare = statistics.median(row["without"]["median"] for row in rows) / by
        more = spread([row[side]["added"] / by for row in rows], "{:+.2f}", f" {unit}")
        return f"{took:.3g} {unit}; {bare:.3g} {unit}; {more}"

    return _of("overhead", form)


FIGURES = (
    Figure("paths that allocate past the limit / paths tried, in the driver, PyTorch, CuPy and JAX",
           "能超过限额分配显存的路径 / 试过的路径（驱动、PyTorch、CuPy、JAX）", "leaks", _of("leaks", _leaks)),
    Figure("not counted: kernel code that a runtime loads, for each program",
           "不计入：运行时加载的核函数代码，每个程序", "leaks", _of("leaks", _overhead_memory)),
    Figure("overshoot when 8 processes allocate in one share at the same time",
           "8 个进程同时在一个份额里分配时的超额", "race", _of("race", _overshoot)),
    Figure("compute limits over time-slicing within 2 points (the goal) / tried; errors in points",
           "算力限额，基于时间片：2 个百分点（目标）以内 / 试过；误差（百分点）", "caps-timeslice", _caps("timeslice")),
    Figure("… over MPS", "…… 基于 MPS", "caps-mps", _caps("mps")),
    Figure("16 GiB off the GPU; and back, by the daemon, host memory prepared, time-slicing",
           "由守护进程将 16 GiB 移出 GPU；移回，主机内存已预先准备，时间片", "suspend", _moves("timeslice", "warm")),
    Figure("… over MPS", "…… 基于 MPS", "suspend", _moves("mps", "warm")),
    Figure("… host memory not prepared, time-slicing", "…… 主机内存未预先准备，时间片", "suspend",
           _moves("timeslice", "cold")),
    Figure("… by the driver's checkpoint, without gpushare", "…… 用驱动的检查点，不用 gpushare", "suspend",
           _checkpoint),
    Figure("two jobs of 100 GiB in turns on one GPU: time together / one after the other",
           "一块 GPU 上两个 100 GiB 的任务轮流使用：总时间 / 依次单独运行", "overcommit",
           _of("overcommit", _ratio)),
    Figure("… changes in that time; time lost for each", "…… 其间的切换次数；每次损失的时间", "overcommit",
           _of("overcommit", lambda of: "; ".join((
               spread([run.result["changes"] for run in of], "{:.0f}"),
               spread([run.result["change_s"] for run in of], "{:.1f}", " s"))))),
    Figure("an empty kernel launch in a share; without gpushare; added",
           "份额里启动空核函数；不用 gpushare；增加", "overhead", _added("launch", "with")),
    Figure("`cuMemAlloc` + `cuMemFree` of 16 MiB in a share; without; added",
           "份额里 16 MiB 的 `cuMemAlloc` + `cuMemFree`；不用；增加", "overhead", _added("alloc_free_16MiB", "with")),
    Figure("`cuMemAllocAsync` + `cuMemFreeAsync` of 2 MiB in a share; without; added",
           "份额里 2 MiB 的 `cuMemAllocAsync` + `cuMemFreeAsync`；不用；增加", "overhead",
           _added("alloc_async_free_2MiB", "with")),
    Figure("a ResNet-50 training step at low priority; without gpushare; added",
           "低优先级的 ResNet-50 训练一步；不用 gpushare；增加", "overhead",
           _added("resnet50_step_ms", "low", "training", 1, "ms")),
)  # fmt: skip


def _rows(folder: Path, *, chinese: bool) -> Iterator[Sequence[object]]:
    for each in FIGURES:
        if found := each.result(folder):
            text, of = found
            yield [each.chinese if chinese else each.english, text, _runs(of, chinese), each.file]


def _runs(of: Sequence[Run], chinese: bool) -> str:
    text = count(of)
    for english, other in (
        (" runs", " 次运行"),
        (" run", " 次运行"),
        (" machines", " 台机器"),
        (" machine", " 台机器"),
    ):
        text = text.replace(english, other) if chinese else text
    return text


def figures_table(folder: Path) -> str | None:
    return table(["what", "result", "from", "file"], _rows(folder, chinese=False))


def figures_zh_table(folder: Path) -> str | None:
    return table(["项目", "结果", "来自", "文件"], _rows(folder, chinese=True))


# Figures in sentences, by the words of their mark.
NAMED: dict[str, Result] = {
    "overcommit": _of("overcommit", _ratio),
    "overcommit change": _of(
        "overcommit", lambda of: spread([run.result["change_s"] for run in of], "{:.1f}", " s")
    ),
    "caps timeslice": _caps("timeslice"),
    "caps mps": _caps("mps"),
    "checkpoint": _checkpoint,
    "suspend": _moves("timeslice", "warm"),
    "suspend cold": _moves("timeslice", "cold"),
}


def figure(folder: Path, words: str) -> str | None:
    if found := NAMED[words](folder):
        return found[0]
    earlier = earlier_tables.checkpoint(folder) if words == "checkpoint" else None
    return f"{earlier} (earlier version)" if earlier else None
