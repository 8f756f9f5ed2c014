# SPDX-License-Identifier: Apache-2.0
"""What the guard alone costs: the same program with and without it, in turns, in one run."""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import facts, machine
from .share import Share, guarded

GIB = 1 << 30
HERE = Path(__file__).parent
ROUNDS, REPEATS, TRAIN_ROUNDS = 8, 5, 4


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


def _compare(without: list[float], within: list[float]) -> dict[str, Any]:
    bare, guard = _summary(without), _summary(within)
    added = guard["median"] - bare["median"]
    percent = 100 * added / bare["median"]
    return {"without": bare, "with": guard, "added": added, "added_percent": percent}


def _turns(run: Any, rounds: int, share: Share) -> dict[str, Any]:
    """Which of the two goes first changes every round, so that drift falls on both."""
    sides: tuple[dict[str, list[float]], ...] = (defaultdict(list), defaultdict(list))
    environments = (dict(os.environ), share.environment())
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            for name, figures in run(environments[side]).items():
                sides[side][name] += figures
    return {name: _compare(sides[0][name], sides[1][name]) for name in sides[0]}


def measure() -> dict[str, Any]:
    gpu, context = machine.first_gpu(), facts.context_cost()["card_growth"]
    with tempfile.TemporaryDirectory() as folder, guarded(gpu["uuid"], 32 * GIB, context) as share:
        program = build(Path(folder))
        calls = _turns(lambda env: _calls(program, env), ROUNDS, share)
        steps = _turns(_train, TRAIN_ROUNDS, share) if _has_torch() else {}
    return {"unit": "ns per call; ms per step", "calls": calls, "training": steps}
