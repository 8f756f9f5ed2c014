# SPDX-License-Identifier: Apache-2.0
"""What the tables make of several runs, and that pages cannot say anything else."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import colocation_tables, limit_tables, move_tables, report, runs

SOLO = {"bert": 0.5, "llm": 2.3, "resnet50": 29.0, "gpt": 80.0}


def row(service: float, job: float, **more: Any) -> dict[str, Any]:
    found = {"p99_ratio": service, "solo_p99_ms": 2.44, "solo_p50_ms": 2.33}
    return {
        "lc": "llm", "be": "gpt", "load": 0.5, "configuration": "gpushare/time-slice",
        "response": found, "service": found, "be_share": job, "saturated": False, "seeds": [1],
        "requests": 100, "wrong_requests": 0, "wrong_checks": 0, "same_as_solo": True, **more,
    }  # fmt: skip


def write(folder: Path, run: str, part: str, result: Any, *, machine: str = "a") -> Path:
    body = {
        "benchmark": part, "date": f"2026-11-30T07:00:00+00:00{run}", "result": result,
        "gpu": {"uuid": f"GPU-{machine}"}, "host": {"boot": f"boot-{machine}"}, "solo_ms": SOLO,
        "commit": "c0ffee", "tree": "7ea", "dirty": False, "libgpushare": {"sha256": "5a"},
    }  # fmt: skip
    path = folder / "runs" / run / f"{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body))
    return path


def cells(text: str | None, line: int = 2) -> list[str]:
    assert text is not None
    return [cell.strip() for cell in text.splitlines()[line].split("|")[1:-1]]


def test_a_row_is_the_median_over_the_runs_with_its_spread_and_never_the_best(
    tmp_path: Path,
) -> None:
    for number, service in enumerate((1.06, 1.30, 1.10)):
        machine = "b" if number else "a"
        write(tmp_path, f"{number}", "colocation", {"rows": [row(service, 0.45)]}, machine=machine)
    found = cells(colocation_tables.colocation_table(tmp_path))
    assert found[5] == "1.10 [1.06, 1.30]"
    assert found[-1] == "3 runs, 2 machines"


def test_one_run_says_so(tmp_path: Path) -> None:
    write(tmp_path, "1", "colocation", {"rows": [row(1.06, 0.45)]})
    found = cells(colocation_tables.headline_table(tmp_path))
    assert (found[3], found[-1]) == ("1.06", "1 run")


def test_two_gpus_of_one_machine_and_one_gpu_in_two_boots_are_one_machine(tmp_path: Path) -> None:
    for run, (gpu, boot) in enumerate((("x", "1"), ("y", "1"), ("x", "2"))):
        path = write(tmp_path, str(run), "race", {})
        body = {**json.loads(path.read_text()), "gpu": {"uuid": gpu}, "host": {"boot": boot}}
        path.write_text(json.dumps(body))
    every = runs.runs(tmp_path, "race")
    assert [runs.machines(every[:2]), runs.machines(every[::2])] == [1, 1]


def test_a_queue_that_saturates_in_one_run_is_not_left_out(tmp_path: Path) -> None:
    write(tmp_path, "1", "colocation", {"rows": [row(1.06, 0.45)]})
    write(tmp_path, "2", "colocation", {"rows": [row(9.0, 0.45, saturated=True)]})
    found = cells(colocation_tables.colocation_table(tmp_path))
    assert found[4] == "1.06; queue saturates in 1 of 2"
    assert "missed" in cells(colocation_tables.goals_table(tmp_path))[2]


def test_a_system_that_was_not_measured_has_a_row_without_figures(tmp_path: Path) -> None:
    key = {"lc": "llm", "be": "gpt", "load": 0.5}
    rows = [
        {**key, "configuration": "hami-core+99", "missing": "failed"},
        {**key, "configuration": "xsched+4/2", "missing": "not built"},
    ]
    write(tmp_path, "1", "colocation", {"rows": rows})
    made = colocation_tables.colocation_table(tmp_path)
    assert made
    assert made.splitlines()[2:] == [
        "| llm | gpt | 0.5 | xsched+4/2 | not built | - | - | - | - | - | - |",
        "| llm | gpt | 0.5 | hami-core+99 | failed | - | - | - | - | - | - |",
    ]


def test_a_system_that_failed_in_a_run_is_shown_with_it(tmp_path: Path) -> None:
    name = {"configuration": "xsched+4/2"}
    rows = [row(1.3, 0.4, **name), {**row(1.3, 0.4, **name), "missing": "failed"}]
    for number, each in enumerate(rows):
        write(tmp_path, f"{number}", "colocation", {"rows": [each]})
    for made in (colocation_tables.colocation_table, colocation_tables.headline_table):
        assert cells(made(tmp_path))[-1] == "1 run; failed in 1 of 2"


def test_answers_that_differ_are_shown_in_the_headline(tmp_path: Path) -> None:
    wrong = row(1.3, 0.4, configuration="xsched+4/2", wrong_requests=40, wrong_checks=2)
    write(tmp_path, "1", "colocation", {"rows": [wrong]})
    assert cells(colocation_tables.headline_table(tmp_path))[1] == "xsched+4/2, 42 WRONG"
    assert cells(colocation_tables.headline_zh_table(tmp_path))[1] == "xsched+4/2, 42 个错误"


@pytest.mark.parametrize(("solo_ms", "left"), [(2.3, 0.464), (0.5, 0.335)])
def test_the_floor_is_that_of_the_page_about_latency(solo_ms: float, left: float) -> None:
    service, job = colocation_tables.floor(row(1.0, 0.5), {"llm": solo_ms}, 0.5)
    assert job == pytest.approx(left, abs=0.001)
    assert service == pytest.approx((2.44 + 0.315) / 2.44)


def test_converged_is_the_last_time_that_it_left_the_band(tmp_path: Path) -> None:
    cap = {
        "program": "gpt", "neighbour": "none", "limit": 50, "delivered": 50.1, "error": 0.1,
        "neighbour_delivered": None, "pace": {},
    }  # fmt: skip
    calm = {**cap, "converged": {"first_s": 0.5, "stays_s": 0.9}}
    write(tmp_path, "1", "caps-mps", {"rows": [calm]})
    assert cells(limit_tables.caps_table(tmp_path))[7] == "0.90 s"
    write(tmp_path, "2", "caps-mps", {"rows": [{**cap, "converged": {"first_s": 0.5}}]})
    assert cells(limit_tables.caps_table(tmp_path))[7] == "not in 1 of 2"


def test_a_leak_in_one_run_is_a_leak(tmp_path: Path) -> None:
    held = {
        "path": "cuMemAlloc", "charged_mib": 4094.0, "card_mib": 4094.0, "overhead_mib": 0.0,
        "error_mib": -2.0, "leak": False, "exact": True, "step_mib": 2.0,
    }  # fmt: skip
    write(tmp_path, "1", "leaks", {"rows": [held]})
    assert cells(limit_tables.leaks_table(tmp_path))[5] == "held"
    write(tmp_path, "2", "leaks", {"rows": [{**held, "error_mib": 8.0, "leak": True}]})
    assert cells(limit_tables.leaks_table(tmp_path))[5] == "LEAK"


def test_turns_that_changed_memory_are_not_called_equal(tmp_path: Path) -> None:
    result = {
        "gib_each": 100, "gpu_gib": 140, "turn_s": 6.0, "changes": 12, "together_s": 100.0,
        "one_after_the_other_s": 80.0, "ratio": 1.25, "change_s": 1.7, "bit_exact": True,
    }  # fmt: skip
    write(tmp_path, "1", "overcommit", result)
    assert cells(move_tables.overcommit_table(tmp_path))[7] == "equal, bit by bit"
    write(tmp_path, "2", "overcommit", {**result, "bit_exact": False})
    assert cells(move_tables.overcommit_table(tmp_path))[7] == "DIFFERENT"


PAGE = """# A page

## Figures
<!-- table: race -->
<!-- end -->
It takes {}.
"""


def reported(folder: Path, page: Path, text: str) -> None:
    """As the report writes it."""
    page.write_text(report.filled(text, folder))
    (folder / report.INDEX).write_text(runs.index(folder))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(report, "ROOT", tmp_path)
    made = tmp_path / "README.md"
    made.write_text(PAGE.format("no time"))
    return made


def test_a_page_that_differs_from_the_results_fails_the_check(tmp_path: Path, page: Path) -> None:
    way = {
        "requests": 5, "denied": 2, "charged_peak_mib": 3.0, "card_growth_peak_mib": 3.0,
        "overshoot_by_charge_mib": 0.0, "overshoot_on_the_card_mib": 0.0,
    }  # fmt: skip
    write(tmp_path, "1", "race", {"ways": {"alloc": way}})
    assert any("make bench-report" in each for each in report.check(tmp_path))
    reported(tmp_path, page, page.read_text())
    assert report.check(tmp_path) == []
    page.write_text(page.read_text().replace("| 5 |", "| 6 |"))
    assert report.check(tmp_path)
    reported(tmp_path, page, page.read_text())
    shutil.rmtree(tmp_path / "runs")
    assert report.check(tmp_path)


@pytest.mark.parametrize("words", ["0.32 s", "1.07 times", "1.9 points", "51 GiB/s", "0.05 %"])
def test_a_figure_that_names_no_result_fails_the_check(
    tmp_path: Path, page: Path, words: str
) -> None:
    reported(tmp_path, page, PAGE.format(words))
    assert any(words in each for each in report.check(tmp_path))
    reported(tmp_path, page, PAGE.format(f"`{words}`"))
    assert report.check(tmp_path) == []


def test_the_pages_are_what_the_results_say() -> None:
    assert report.check(report.DEFAULT) == []
