# SPDX-License-Identifier: Apache-2.0
"""The leak table: what each way of allocating gets out of a share, against its limit."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import facts, machine
from .share import PROBE, Share, guarded

GIB, MIB = 1 << 30, 1 << 20
LIMIT, TOLERANCE = 4 * GIB, 2 * MIB
HERE = Path(__file__).parent
FRAMEWORKS: dict[str, tuple[str, dict[str, str]]] = {
    "torch, default": ("torch", {}),
    "torch, expandable_segments": (
        "torch",
        {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
    ),
    "torch, cudaMallocAsync": ("torch", {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}),
    "CuPy, default pool": ("cupy", {}),
    "CuPy, MemoryAsyncPool": ("cupy-async", {}),
    "JAX, preallocating": ("jax", {}),
    "JAX, growing": ("jax", {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    "JAX, platform allocator": ("jax", {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}),
}


def _verdict(share: Share, held: int) -> dict[str, Any]:
    """`error`: allocatable bytes and context, less the limit; above zero is a leak."""
    error = held + share.context - share.limit
    return {
        "held_mib": held / MIB,
        "error_mib": error / MIB,
        "leak": error > 0,
        "exact": -TOLERANCE <= error <= 0,
        "peak_mib": share.counter("peak") / MIB,
        "left_charged_mib": share.counter("used") / MIB,
    }


def driver_paths(share: Share) -> list[dict[str, Any]]:
    answer = subprocess.run(
        [PROBE, "--fill", "--limit", str(share.limit), "--timeout", "120"],
        env=share.environment(), capture_output=True, text=True, timeout=130, check=False,
    )  # fmt: skip
    if answer.returncode:
        said = answer.stdout or answer.stderr
        return [{"path": "probe", "failed": f"exit {answer.returncode}: {said}"}]
    rows = json.loads(answer.stdout)["devices"][0]["attempts"]
    return [row | ({} if row["skipped"] else _verdict(share, row["held"])) for row in rows]


def framework(name: str, share: Share) -> dict[str, Any]:
    program, env = FRAMEWORKS[name]
    command = [sys.executable, str(HERE / "frameworks.py"), program, str(share.limit)]
    try:
        answer = subprocess.run(
            command, env=share.environment(**env), capture_output=True, text=True,
            timeout=90, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"path": name, "failed": "no answer within 90 s"}
    if answer.returncode:
        return {"path": name, "failed": answer.stderr[-800:] or f"exit {answer.returncode}"}
    found = json.loads(answer.stdout.splitlines()[-1])
    taken = found["reserved"] or found["held"]
    return {"path": name, **found, **_verdict(share, taken)}


def _rows(uuid: str, context: int) -> Iterator[dict[str, Any]]:
    with guarded(uuid, LIMIT, context) as share:
        yield from driver_paths(share)
    for name in FRAMEWORKS:
        with guarded(uuid, LIMIT, context) as share:
            yield framework(name, share)


def measure() -> dict[str, Any]:
    gpu, cost = machine.first_gpu(), facts.context_cost()
    rows = list(_rows(gpu["uuid"], cost["card_growth"]))
    return {"limit_mib": LIMIT / MIB, "context_mib": cost["card_growth"] / MIB, "rows": rows}
