# SPDX-License-Identifier: Apache-2.0
"""A look at other systems before they are measured: do they start, answer, limit and give way?"""

import time
from typing import Any

from benchmarks.gpu.machine import smoke

from . import configurations
from .results import Results
from .run import Plan, measure_into

PAIR = ("bert", "resnet50")
NAMES = ("time-slice", "hami-core+30", "xsched+4/2")
SECONDS = 4.0
WITHIN = 0.15  # of the job, above its limit


def plan() -> Plan:
    return Plan(
        pairs=[PAIR],
        stages=[[each] for each in configurations.chosen(list(NAMES))],
        loads=[0.5],
        seeds=[1],
        seconds=SECONDS,
        alone=False,
        deadline=time.monotonic() + 300,
        settle=0.1 if smoke() else 0.7,
        part=None,
    )


def verdict(row: dict[str, Any], plain: dict[str, Any]) -> str:
    """In words; `plain` is the row of time-slicing."""
    if "missing" in row:
        return str(row["missing"])
    wrong = row["wrong_requests"] + row["wrong_checks"]
    answers = f"{row['requests']} of {row['offered']} answers, {wrong} wrong"
    share = f"the job has {row['be_share']:.2f}, with time-slicing {plain['be_share']:.2f}"
    return f"{row['version'][:12]}: {answers}; {share}; {_effect(row, plain)}"


def _effect(row: dict[str, Any], plain: dict[str, Any]) -> str:
    system, _, setting = row["configuration"].partition("+")
    if system == "hami-core":
        held = row["be_share"] <= int(setting) / 100 + WITHIN
        return "the limit shows" if held else "the limit does NOT show"
    ratios = [each.get("service", {}).get("p99_ratio", float("inf")) for each in (row, plain)]
    gives_way = ratios[0] < ratios[1] and row["be_share"] < plain["be_share"]
    told = "the priority shows" if gives_way else "the priority does NOT show"
    return f"{told} (service p99 {ratios[0]}, with time-slicing {ratios[1]})"


def check() -> int:
    """0 when every system that is built has answered."""
    results = Results(None)
    measure_into(results, plan())
    rows = {row["configuration"]: row for row in results.added}
    for name in NAMES[1:]:
        print(f"check {name}: {verdict(rows[name], rows[NAMES[0]])}", flush=True)
    return 0 if all(map(_fine, rows.values())) else 3


def _fine(row: dict[str, Any]) -> bool:
    return bool(row.get("requests")) or row.get("missing") not in (None, "failed")
