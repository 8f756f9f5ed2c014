# SPDX-License-Identifier: Apache-2.0
"""Eight processes race for one share's memory; what the card loses is watched from outside.

`charge` is the share's own account, `card` the growth of the card's use as NVML shows it.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import facts, machine
from .served import site
from .share import Share, share

GIB, MIB = 1 << 30, 1 << 20
PROCESSES, SECONDS, LIMIT = 8, 5.0, 12 * GIB
WORKER = Path(__file__).parent / "race_worker.py"


def _start(seed: int, way: str, share: Share) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, str(seed), str(SECONDS), way],
        env=share.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _race(way: str, share: Share) -> dict[str, Any]:
    watch = machine.Watch()
    workers = [_start(seed, way, share) for seed in range(PROCESSES)]
    ready = [_line(worker) for worker in workers]
    watch.start()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [_line(worker).split() for worker in workers]
    full = machine.card_used()
    watch.end()
    peak, used = share.counter("peak"), share.counter("used")
    for worker in workers:
        worker.communicate(timeout=60)
    held = sum(int(answer[1]) for answer in answers)
    return {
        "ready": ready.count("ready\n"),
        "requests": sum(int(answer[0]) for answer in answers),
        "held_at_the_end_mib": held / MIB,
        "charged_peak_mib": peak / MIB,
        "charged_at_the_end_mib": used / MIB,
        "card_growth_peak_mib": watch.most / MIB,
        "card_samples": watch.samples,
        "overshoot_by_charge_mib": max(0, peak - share.limit) / MIB,
        "overshoot_on_the_card_mib": max(0, watch.most - share.limit) / MIB,
        "unused_at_the_end_mib": (share.limit - used) / MIB,
        "denied": share.counter("denied"),
        "card_used_when_full_mib": full / MIB,
    }


def measure() -> Iterator[dict[str, Any]]:
    """Grows by a way at a time."""
    machine.begin()
    cost = facts.context_cost()["card_growth"]
    ways: dict[str, Any] = {}
    found = {"processes": PROCESSES, "limit_mib": LIMIT / MIB, "context_mib": cost / MIB}
    with site() as here:
        for way in ("alloc", "create", "async", "mixed"):
            with share(here, "race", LIMIT) as made:
                ways[way] = _race(way, made)
            print(f"  {way}: {ways[way]}", flush=True)
            yield {**found, "ways": ways}
