# SPDX-License-Identifier: Apache-2.0
"""Asking a benchmark for help runs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu.machine import ROOT

MODULES = (
    "load", "startup", "scheduling", "week", "memory_info", "report", "gpu", "gpu.session",
    "gpu.colocation", "gpu.caps", "gpu.suspend", "gpu.overcommit", "gpu.tenants", "gpu.reclaim",
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda name: f"python -m benchmarks.{name}")
def test_help_is_printed_and_nothing_is_measured(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("usage: ")
