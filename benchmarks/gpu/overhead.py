# SPDX-License-Identifier: Apache-2.0
"""What the guard alone costs: the same program with and without it, in turns, in one run."""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpushare.model.spec import Priority

from . import machine
from .served import site
from .share import share

Sides = dict[str, dict[str, list[float]]]  # figures by what is timed and by side
Run = Callable[[Mapping[str, str]], Mapping[str, list[float]]]

LIMIT = 32 << 30
HERE = Path(__file__).parent
ROUNDS, REPEATS, TRAIN_ROUNDS = 5, 5, 2


def build(folder: Path) -> Path:
    program = folder / "overhead"
    include = machine.ROOT / "native" / "include"
    source = HERE / "overhead.c"
    subprocess.run(
        ["gcc", "-O2", "-D_GNU_SOURCE", f"-I{include}", source, "-o", program, "-ldl"], check=True
    )
    return program


def _calls(program: Path, env: Mapping[str, str]) -> dict[str, list[float]]:
    answer = subprocess.run(
        [program, str(REPEATS)], env=env, capture_output=True, text=True, check=True, timeout=120
    )
    lines = (line.split() for line in answer.stdout.splitlines())
    return {name: [float(figure) for figure in figures] for name, *figures in lines}


def _train(env: Mapping[str, str]) -> dict[str, list[float]]:
    answer = subprocess.run(
        [sys.executable, HERE / "resnet50.py", "--batch", "256", "--steps", "50", "--times"],
        env=env, capture_output=True, text=True, check=True, timeout=180,
    )  # fmt: skip
    return {"resnet50_step_ms": [float(figure) for figure in answer.stdout.split()]}


def _has_torch() -> bool:
    if importlib.util.find_spec("torchvision"):
        return True
    print("  no training: torchvision is not installed", file=sys.stderr)
    return False


def _summary(figures: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(figures, n=4)
    return {"median": middle, "p25": low, "p75": high, "min": min(figures), "n": len(figures)}


def _compare(sides: Mapping[str, list[float]]) -> dict[str, Any]:
    """Of each side: its figures, and what it adds to the one without the guard."""
    found = {name: _summary(figures) for name, figures in sides.items()}
    bare = found["without"]["median"]
    for each in found.values():
        each["added"] = each["median"] - bare
        each["added_percent"] = 100 * each["added"] / bare
    return found


def _turns(run: Run, rounds: int, sides: Mapping[str, Mapping[str, str]]) -> Sides:
    """Which side goes first changes every round, so that drift falls on all."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    names = list(sides)
    for turn in range(rounds):
        for side in names[turn % len(names) :] + names[: turn % len(names)]:
            for name, figures in run(sides[side]).items():
                found[name][side] += figures
    return {name: dict(each) for name, each in found.items()}


@contextmanager
def _sides() -> Iterator[dict[str, Mapping[str, str]]]:
    """Without the guard; an ordinary share; one of low priority."""
    with (
        site() as here,
        share(here, "with", LIMIT) as ordinary,
        share(here, "low", LIMIT, priority=Priority.LOW) as low,
    ):
        bare = {**os.environ, **machine.selected()}
        yield {"without": bare, "with": ordinary.environment(), "low": low.environment()}


def _found(calls: Sides, steps: Sides) -> dict[str, Any]:
    """The samples are the figures of all rounds, by call and side."""
    return {
        "unit": "ns per call; ms per step",
        "calls": {name: _compare(each) for name, each in calls.items()},
        "training": {name: _compare(each) for name, each in steps.items()},
        "solo_ms": {name: statistics.median(each["without"]) for name, each in steps.items()},
        "samples": {**calls, **steps},
    }


def measure() -> Iterator[dict[str, Any]]:
    """The calls, then training as well."""
    machine.begin()
    with tempfile.TemporaryDirectory() as folder, _sides() as sides:
        program = build(Path(folder))
        calls = _turns(lambda env: _calls(program, env), ROUNDS, sides)
        yield _found(calls, {})
        if _has_torch():
            two = {name: sides[name] for name in ("without", "low")}
            yield _found(calls, _turns(_train, TRAIN_ROUNDS, two))
