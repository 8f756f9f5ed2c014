# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001 (Chinese has punctuation and widths of its own)
"""Tables of services next to jobs, over all runs, and what the hardware allows at best."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.colocation import configurations
from benchmarks.results_of import HEADLINE, usual
from benchmarks.runs import Row, Run, count, grouped, runs, spread
from benchmarks.tables import NOTHING, table

NAMES = [each.name for each in configurations.ALL]
KEY = ("lc", "be", "load", "configuration")
LOAD = 0.5
Each = Sequence[tuple[Run, Row]]
# A change of contexts and the two that a request pays for at p99, in milliseconds: a service of ten
# graph nodes next to blocks of 20 us, 150 us and 5 ms (docs/explanation/latency.md).
SWITCH_MS, TWO_SWITCHES_MS = 0.165, 0.315


def floor(row: Row, solo: Row, load: float) -> tuple[float, float]:
    """Service p99 / solo and job / solo that changes of contexts leave at best.

    With random arrivals a cycle of busy and idle lasts S / (load * (1 - load)) for a request of S.
    """
    service = row["service"]["solo_p99_ms"]
    lost = 2 * SWITCH_MS * load * (1 - load) / solo[row["lc"]]
    return (service + TWO_SWITCHES_MS) / service, 1 - load - lost


def rows_of(run: Run) -> Iterator[Row]:
    for row in run.result["rows"]:
        if usual(row):
            solo = run.body["solo_ms"]
            by_time = "service" in row and row["configuration"] == "gpushare/time-slice"
            yield {**row, "floor": floor(row, solo, row["load"]) if by_time else None}


def measured(folder: Path) -> dict[tuple[Any, ...], Each]:
    found = grouped(runs(folder, "colocation"), rows_of, KEY)
    return dict(sorted(found.items(), key=_order))


def _order(item: tuple[tuple[Any, ...], Each]) -> tuple[Any, ...]:
    """The headline's pairs first."""
    lc, be, load, name = item[0]
    place = NAMES.index(name) if name in NAMES else len(NAMES)
    return (lc, be) not in HEADLINE, lc, be, -load, place, name


def ratio(each: Each, kind: str) -> str:
    """Of the runs in which the queue did not grow without end."""
    here = [row for _, row in each if kind in row]
    if not here:
        return NOTHING
    calm = [row for row in here if kind == "service" or not row["saturated"]]
    if not calm:
        return "queue saturates"
    shown = spread([row[kind]["p99_ratio"] for row in calm])
    lost = len(here) - len(calm)
    return f"{shown}; queue saturates in {lost} of {len(here)}" if lost else shown


def job(each: Each) -> str:
    return spread([row["be_share"] for _, row in each])


def outputs(each: Each) -> str:
    wrong = sum(row["wrong_requests"] + row["wrong_checks"] for _, row in each)
    if wrong:
        return f"{wrong} WRONG"
    same = all(row["same_as_solo"] for _, row in each)
    return "equal" if same else "equal in themselves"


def floors(each: Each) -> str:
    found = [row["floor"] for _, row in each if row["floor"]]
    if not found:
        return NOTHING
    service, left = zip(*found, strict=True)
    return f"{spread(service[:1])}, {spread(left[:1])}"


def ours(name: str) -> str:
    return f"**{name}**" if name.startswith("gpushare") else name


def colocation_table(folder: Path) -> str | None:
    head = ["service", "job", "load", "configuration", "response p99 / solo", "service p99 / solo"]
    head += ["job / solo", "floor: service, job", "requests", "outputs", "runs"]
    return table(head, (_full(key, each) for key, each in measured(folder).items()))


def _missing(each: Each) -> str:
    return next((str(row["missing"]) for _, row in each if "missing" in row), "")


def _present(each: Each) -> Each:
    return [(run, row) for run, row in each if "missing" not in row]


def _origin(each: Each) -> str:
    """Of which runs; those in which a system failed are not left out."""
    here = _present(each)
    found = count([run for run, _ in here])
    lost = sum(row.get("missing") == "failed" for _, row in each)
    return f"{found}; failed in {lost} of {lost + len(here)}" if lost else found


def _full(key: tuple[Any, ...], each: Each) -> list[object]:
    lc, be, load, name = key
    if not (here := _present(each)):
        return [lc, be, load, name, _missing(each), *[NOTHING] * 6]
    return [
        lc, be, load, ours(name), ratio(here, "response"), ratio(here, "service"), job(here),
        floors(here), sum(row["requests"] for _, row in here), outputs(here), _origin(each),
    ]  # fmt: skip


def headline(
    folder: Path, head: Sequence[str], pairs: Sequence[str], words: dict[str, str]
) -> str | None:
    """The pairs of the headline: a row for each configuration."""
    lines = []
    for pair, title in zip(HEADLINE, pairs, strict=True):
        mine = {key: each for key, each in measured(folder).items() if key[:3] == (*pair, LOAD)}
        for number, (key, each) in enumerate(mine.items()):
            lines.append([title if number == 0 else "", *_short(key[3], each)])
    return _translated(table(head, lines), words)


def _short(name: str, each: Each) -> list[object]:
    if not (here := _present(each)):
        return [name, _missing(each), *[NOTHING] * 4]
    wrong = outputs(here) if "WRONG" in outputs(here) else ""
    return [
        ", ".join(filter(None, (ours(name), wrong))), ratio(here, "response"),
        ratio(here, "service"), job(here), floors(here), _origin(each),
    ]  # fmt: skip


def _translated(text: str | None, words: dict[str, str]) -> str | None:
    for english, other in words.items():
        text = text and text.replace(english, other)
    return text


ENGLISH = (
    "BERT-base, 0.5 ms; ResNet-50 training",
    "LLM decoding, 2.3 ms; GPT training",
)
CHINESE = ("BERT-base，0.5 ms；训练 ResNet-50", "LLM 解码，2.3 ms；训练 GPT")
WORDS = {
    "queue saturates in ": "队列饱和：", "queue saturates": "队列饱和", " of ": " / ",
    " runs, ": " 次运行，", " run ": " 次运行 ", " machines": " 台机器", " machine": " 台机器",
    "not built": "未构建", "first GPU only": "仅第一块 GPU", "; failed in ": "；失败：",
    "failed": "失败", " WRONG": " 个错误", "missed": "未达到", "met": "达到",
}  # fmt: skip
# Of the headline's pairs, at load 0.5: response and service at most, job at least.
GOALS = ((1.10, 1.25, 0.40), (1.05, 1.05, 0.47))
OURS = ("gpushare/mps", "gpushare/time-slice")


def headline_table(folder: Path) -> str | None:
    head = ["service, job", "configuration", "response p99 / solo", "service p99 / solo"]
    return headline(folder, [*head, "job / solo", "floor: service, job", "from"], ENGLISH, {})


def headline_zh_table(folder: Path) -> str | None:
    head = [
        "服务与任务",
        "配置",
        "响应 p99 / 单独",
        "服务 p99 / 单独",
        "任务 / 单独",
        "下限：服务，任务",
    ]
    return headline(folder, [*head, "来自"], CHINESE, WORDS)


def goals_table(folder: Path) -> str | None:
    head = ["service, job", "over", "response, goal", "service, goal", "job, goal"]
    return table(head, _goals(folder, ENGLISH))


def goals_zh_table(folder: Path) -> str | None:
    head = ["服务与任务", "基于", "响应，目标", "服务，目标", "任务，目标"]
    return _translated(table(head, _goals(folder, CHINESE)), WORDS)


def _goals(folder: Path, titles: Sequence[str]) -> Iterator[list[str]]:
    found = measured(folder)
    for pair, title, goals in zip(HEADLINE, titles, GOALS, strict=True):
        for name in OURS:
            if here := _present(found.get((*pair, LOAD, name), ())):
                yield [title, name.removeprefix("gpushare/"), *_met(here, goals)]


def _met(each: Each, goals: Sequence[float]) -> Iterator[str]:
    for kind, goal in zip(("response", "service"), goals, strict=False):
        calm = [row[kind]["p99_ratio"] for _, row in each if kind in row and not row["saturated"]]
        reached = len(calm) == len(each) and statistics.median(calm) <= goal
        shown = f"{statistics.median(calm):.2f}" if calm else "queue saturates"
        yield f"{shown}, {goal:.2f}: {'met' if reached else 'missed'}"
    kept = statistics.median(row["be_share"] for _, row in each)
    yield f"{kept:.2f}, {goals[2]:.2f}: {'met' if kept >= goals[2] else 'missed'}"


def solo_table(folder: Path) -> str | None:
    """The services alone, in the runs of the table above."""
    found: dict[tuple[str, float], dict[str, list[float]]] = {}
    for (lc, _, load, _), each in measured(folder).items():
        for _, row in each:
            for name, value in _alone(row):
                found.setdefault((lc, load), {}).setdefault(name, []).append(value)
    head = ["service", "load", "response p50", "response p99", "service p50", "service p99"]
    return table(head, ([*key, *_milliseconds(each)] for key, each in sorted(found.items())))


def _alone(row: Row) -> Iterable[tuple[str, float]]:
    for kind in ("response", "service"):
        for point in ("p50", "p99"):
            if kind in row and len(row["seeds"]) == 1:
                yield f"{kind} {point}", row[kind][f"solo_{point}_ms"]


def _milliseconds(found: dict[str, list[float]]) -> list[str]:
    names = (f"{kind} {point}" for kind in ("response", "service") for point in ("p50", "p99"))
    return [
        spread(sorted(set(found[name])), "{:.3f}", " ms") if name in found else NOTHING
        for name in names
    ]


def figure(folder: Path, words: str) -> str | None:
    """`bert resnet50 gpushare/mps service`: a cell of the table at load 0.5."""
    lc, be, name, kind = words.split()
    here = _present(measured(folder).get((lc, be, LOAD, name), ()))
    if not here:
        return None
    return job(here) if kind == "job" else ratio(here, kind)
