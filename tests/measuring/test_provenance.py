# SPDX-License-Identifier: Apache-2.0
"""What a result says about itself, and that it is of the guard that ships."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import provenance
from benchmarks.gpu import machine
from benchmarks.gpu.machine import ROOT

SHARES = """
from benchmarks.gpu.served import site
from benchmarks.gpu.share import share
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.spec import Priority
with site() as here, share(here, "one", 1 << 30, priority=Priority.LOW) as made:
    found = made.region.snapshot()
    print(found.flags.name, found.gpus[0].limit, made.slot().policy.rank.name)
    print(made.edits["LD_PRELOAD"])
    made.schedule(SchedulingSettings(gate_quantum=500), Priority.LOW)
    print(made.slot().policy.quantum_us, made.slot().policy.rank.name)
"""

MOVES = """
from pathlib import Path
from benchmarks.gpu.program import Program
from benchmarks.gpu.served import site
from benchmarks.gpu.suspend import NAME, Moved
settings = {"GPUSHARE_SWAP_MEMORY": "3GiB", "GPUSHARE_SWAP_AHEAD": "2GiB"}
with site(settings) as here:
    before = here.run(NAME, "-m", "2GiB", "--mechanism", "timeslice")
    held = Program("busy", ["spin", "--gib", "1"], here.environment, before)
    first = held.hear()["digest"]
    moved = Moved(here, held)
    ready = moved.ready_ahead()
    out = moved.out()
    state = here.client.show(NAME).state
    back = moved.back()
    print(ready, state, out["moved"] >= 1 << 30, out["own_s"] > 0 and back["own_s"] > 0)
    print(held.ask("digest")["digest"] == first)
    held.end()
left = Path("/dev/shm").glob(f"*{here.folder.name}*")
print([path.name for path in left])
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*provenance.VARIABLES, "GPUSHARE_BENCH_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    provenance.sources.cache_clear()
    yield
    provenance.sources.cache_clear()


def test_a_checkout_names_its_tree_and_whether_a_source_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "source.py").write_text("one")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.sources()["tree"] == git("rev-parse", "HEAD^{tree}")
    assert not provenance.sources()["dirty"]
    provenance.sources.cache_clear()
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "new.json").write_text("{}")
    assert not provenance.sources()["dirty"]
    provenance.sources.cache_clear()
    (tmp_path / "source.py").write_text("two")
    assert provenance.sources()["dirty"]


@pytest.mark.parametrize("missing", provenance.VARIABLES)
def test_a_copy_without_git_writes_nothing_unless_told_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    told = dict(zip(provenance.VARIABLES, ("c0ffee", "7ea", "0"), strict=True))
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert provenance.sources() == {"commit": "c0ffee", "tree": "7ea", "dirty": False}
    provenance.sources.cache_clear()
    monkeypatch.delenv(missing)
    with pytest.raises(provenance.NoProvenanceError, match="GPUSHARE_BENCH_TREE"):
        provenance.facts("benchmarks.some")


def saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in zip(provenance.VARIABLES, ("c0ffee", "7ea", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPUSHARE_BENCH_SMOKE", "1")
    monkeypatch.setenv("GPUSHARE_BENCH_RESULTS", str(folder))
    monkeypatch.delenv("GPUSHARE_SIM_MACHINE", raising=False)
    machine.save("some", {"rows": [1]}, solo_ms={"bert": 0.5}, samples=[1, 2])
    found: dict[str, Any] = json.loads((folder / "some.json").read_text())
    return found


def test_a_result_carries_what_it_was_measured_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = saved(tmp_path, monkeypatch)
    assert (found["commit"], found["tree"], found["dirty"]) == ("c0ffee", "7ea", True)
    assert len(found["libgpushare"]["sha256"]) == 64
    assert found["host"]["boot"]
    assert {"uuid", "name"} <= set(found["gpu"])
    assert found["solo_ms"] == {"bert": 0.5}
    packed = (tmp_path / "some.samples.json.gz").read_bytes()
    assert json.loads(gzip.decompress(packed)) == [1, 2]
    saved(tmp_path, monkeypatch)
    assert (tmp_path / "some.samples.json.gz").read_bytes() == packed


def test_rows_of_another_tree_are_not_added_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, monkeypatch)
    assert machine.load("some") == {"rows": [1]}
    provenance.sources.cache_clear()
    monkeypatch.setenv("GPUSHARE_BENCH_TREE", "another")
    with pytest.raises(provenance.NoProvenanceError, match="another tree"):
        machine.load("some")


def simulated(program: str) -> list[str]:
    """What the program prints on a simulated H200."""
    command = [sys.executable, "-m", "gpushare.cli", "simulate", "h200-1", "--"]
    answer = subprocess.run(
        [*command, sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_benchmarks_measure_shares_as_the_daemon_makes_them() -> None:
    region, preload, other = simulated(SHARES)
    assert region == f"MOVABLE {1 << 30} LOW"
    assert preload.endswith("libgpushare.so")
    assert other == "500 LOW"


@pytest.mark.timeout(300)
def test_benchmarks_move_programs_by_the_daemon() -> None:
    moves, intact, left = simulated(MOVES)
    assert moves == "True suspended True True"
    assert intact == "True"
    assert left == "[]"
