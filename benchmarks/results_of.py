# SPDX-License-Identifier: Apache-2.0
"""Where results of a GPU are, and which of them are of the usual settings."""

from pathlib import Path
from typing import Any

from benchmarks.gpu.colocation.configurations import Configuration

HERE = Path(__file__).parent
DEFAULT = HERE / "results" / "h200"
_USUAL = Configuration("usual")  # what is measured unless something is varied
QUANTUM_US, GRACE_US = _USUAL.quantum_us, _USUAL.grace_us
HEADLINE = (("bert", "resnet50"), ("llm", "gpt"))

Row = dict[str, Any]


def usual(row: Row) -> bool:
    quantum = row.get("quantum_us", QUANTUM_US)
    return bool(quantum == QUANTUM_US and row.get("grace_us", GRACE_US) == GRACE_US)
