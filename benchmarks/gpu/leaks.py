# SPDX-License-Identifier: Apache-2.0
"""The leak table: what each way of allocating gets out of a share, against its limit.

`charged` is the share's own account with the context in it, `card` the growth of the card's use as
NVML shows it. `overhead` is what a framework's runtime takes of the card beyond the charge before
it allocates anything to speak of: the code of its kernels. `error` is `card` less `overhead` (or
`charged`, where that is more) less the limit; above zero is a leak.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import facts, machine
from .served import Site, site
from .share import PROBE, Share, share

GIB, MIB = 1 << 30, 1 << 20
LIMIT, PAGE = 4 * GIB, 2 * MIB
LINGER = "200"  # milliseconds, so that NVML is asked while everything is held
HERE = Path(__file__).parent
POOL = 32 * MIB  # pools grow in such steps (driver 580)
POOLED = {"cuMemAllocAsync", "cuMemAllocFromPoolAsync", "cuGraphAddMemAllocNode"}
GROW = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": "1.0"}
TORCH = "PYTORCH_CUDA_ALLOC_CONF"
# Name: program of frameworks.py, environment, step in which it takes memory. A step of LIMIT: by
# its own rules it does not try to take everything.
FRAMEWORKS: dict[str, tuple[str, dict[str, str], int]] = {
    "torch, default": ("torch", {}, PAGE),
    "torch, expandable_segments": ("torch", {TORCH: "expandable_segments:True"}, PAGE),
    "torch, cudaMallocAsync": ("torch", {TORCH: "backend:cudaMallocAsync"}, POOL),
    "CuPy, default pool": ("cupy", {}, PAGE),
    "CuPy, MemoryAsyncPool": ("cupy-async", {}, POOL),
    "JAX, preallocating 75 %": ("jax", {}, LIMIT),
    "JAX, growing": ("jax", GROW, LIMIT // 32),
    "JAX, platform allocator": ("jax", {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}, LIMIT // 32),
}


def _verdict(share: Share, step: int, card: int | None, overhead: int = 0) -> dict[str, Any]:
    peak = share.counter("peak")
    most = max(peak, (card or 0) - overhead)
    return {
        "charged_mib": peak / MIB,
        "card_mib": None if card is None else card / MIB,
        "overhead_mib": overhead / MIB,
        "error_mib": (most - share.limit) / MIB,
        "step_mib": step / MIB,
        "leak": most > share.limit,
        "exact": share.limit - step <= most <= share.limit,
        "left_charged_mib": share.counter("used") / MIB,
    }


def _watched(command: list[str], env: dict[str, str]) -> tuple[int, str, int]:
    """Exit code, output and the most the card's use grew by."""
    watch = machine.Watch()
    watch.start()
    try:
        answer = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=90, check=False
        )
        return answer.returncode, answer.stdout or answer.stderr[-800:], watch.most
    except subprocess.TimeoutExpired:
        return -1, "no answer within 90 s", watch.most
    finally:
        watch.end()


def path_names(limit: int) -> list[str]:
    probe = [str(PROBE), "--attempt", "--no-escapes", "--limit", str(limit)]
    answer = subprocess.run(probe, capture_output=True, text=True, check=True, timeout=60)
    return [attempt["path"] for attempt in json.loads(answer.stdout)["devices"][0]["attempts"]]


def driver_path(name: str, share: Share) -> dict[str, Any]:
    """Managed memory is tried only where the probe has seen from outside how much is free."""
    command = [
        str(PROBE),
        "--fill",
        "--linger",
        LINGER,
        "--limit",
        str(share.limit),
        "--path",
        name,
    ]
    outside = "Managed" in name
    code, said, card = _watched(
        command + ([] if outside else ["--no-escapes"]), share.environment()
    )
    if code:
        return {"path": name, "failed": f"exit {code}: {said}"}
    row = json.loads(said)["devices"][0]["attempts"][0]
    step = POOL if name in POOLED else 16 * MIB if "1D" in name else PAGE
    return {**row, **_verdict(share, step, None if outside else card)}


def framework(name: str, share: Share, overhead: int) -> dict[str, Any]:
    program, env, step = FRAMEWORKS[name]
    code, said, card = _watched(_framework(program, share.limit), share.environment(**env))
    if code:
        return {"path": name, "failed": said}
    return {
        "path": name,
        **json.loads(said.splitlines()[-1]),
        **_verdict(share, step, card, overhead),
    }


def _framework(program: str, limit: int) -> list[str]:
    return [sys.executable, str(HERE / "frameworks.py"), program, str(limit)]


def overhead_of(name: str, share: Share) -> int:
    """Bytes a framework takes of the card beyond what is charged, for one small array."""
    program, env, _ = FRAMEWORKS[name]
    env = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **env}
    _, _, card = _watched(_framework(program, 0), share.environment(**env))
    return max(0, card - share.counter("peak"))


def _rows(here: Site, names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        with share(here, "leaks", LIMIT) as made:
            yield driver_path(name, made)
    for name in FRAMEWORKS:
        with share(here, "leaks", LIMIT) as made:
            overhead = overhead_of(name, made)
        with share(here, "leaks", LIMIT) as made:
            yield framework(name, made, overhead)


def measure() -> Iterator[dict[str, Any]]:
    """Grows by a row at a time."""
    machine.begin()
    cost = facts.context_cost()["card_growth"]
    found: dict[str, Any] = {"limit_mib": LIMIT / MIB, "context_mib": cost / MIB, "rows": []}
    with site() as here:
        for row in _rows(here, path_names(LIMIT)):
            found["rows"].append(row)
            print(f"  {row['path']}: {row.get('error_mib', row.get('failed'))}", flush=True)
            yield found
