# SPDX-License-Identifier: Apache-2.0
"""The lists of mutants fit the tree, and scripts/run_mutants.py tells killed from survived."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts/run_mutants.py"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture
def mutant(runner, tmp_path):
    """One row for a tree of one file."""
    (tmp_path / "sum.py").write_text("total = 1 + 1\n")
    return runner.Mutant(name="less", file="sum.py", old="1 + 1", new="1 - 1", test="true")


def test_the_lists_fit_the_tree(runner):
    mutants = runner.read_lists()
    assert len(mutants) >= 100
    assert list(runner.problems(mutants, ROOT)) == []


@pytest.mark.parametrize(
    ("changes", "said"),  # prose: allow
    [
        ({"old": "2 + 2"}, "occurs 0 times"),
        ({"old": "1"}, "occurs 2 times"),
        ({"file": "missing.py"}, "occurs 0 times"),
        ({"new": "1 +"}, "syntax error"),
        ({"test": ""}, "needs either"),
        ({"equivalent": "nothing reads it"}, "needs either"),
        ({"test": "pytest tests/test_missing.py::test_it"}, "there is no tests/test_missing.py"),
    ],
)
def test_a_stale_row_is_named(runner, mutant, tmp_path, changes, said):
    (problem,) = runner.problems([replace(mutant, **changes)], tmp_path)
    assert problem.startswith("less: ")
    assert said in problem


def test_two_rows_have_two_names(runner, mutant, tmp_path):
    assert list(runner.problems([mutant, mutant], tmp_path)) == ["less: 2 rows have this name"]


@pytest.mark.parametrize(
    ("test", "result"), [("true", "survived"), ("grep -q 'total = 1 + 1' sum.py", "killed")]
)
def test_a_mutant_is_killed_by_a_test_that_fails_with_it_alone(
    runner, mutant, tmp_path, test, result
):
    assert runner.outcome(replace(mutant, test=test), tmp_path) == result
    assert (tmp_path / "sum.py").read_text() == "total = 1 + 1\n"


def test_a_test_that_does_not_end_is_a_timeout(runner, mutant, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "TEST_SECONDS", 0.1)
    assert runner.outcome(replace(mutant, test="sleep 60"), tmp_path) == "timeout"


@pytest.mark.parametrize(("survived", "status"), [(1, 0), (2, 1)])
def test_nine_of_ten_have_to_be_killed(runner, survived, status, capsys):
    counts = runner.Counter(killed=10 - survived, survived=survived)
    assert runner.score(counts) == status
    assert f"{10 - survived} of 10 killed" in capsys.readouterr().out
