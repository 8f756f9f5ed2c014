# SPDX-License-Identifier: Apache-2.0
"""Eight processes race for one share's memory; what the card loses is watched from outside."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from . import facts, machine
from .share import Share, guarded

GIB, MIB = 1 << 30, 1 << 20
PROCESSES, SECONDS, LIMIT = 8, 10.0, 12 * GIB
WORKER = Path(__file__).parent / "race_worker.py"


class Watch(threading.Thread):
    """The most the card's use was seen to grow by, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.samples = 0, 0
        self._base, self._stop_now = machine.card_used(), threading.Event()

    def run(self) -> None:
        while not self._stop_now.is_set():
            self.most = max(self.most, machine.card_used() - self._base)
            self.samples += 1

    def end(self) -> None:
        self._stop_now.set()
        self.join()


def _start(seed: int, share: Share) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, str(seed), str(SECONDS)],
        env=share.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _race(share: Share) -> dict[str, Any]:
    watch = Watch()
    workers = [_start(seed, share) for seed in range(PROCESSES)]
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


def measure() -> dict[str, Any]:
    gpu, cost = machine.first_gpu(), facts.context_cost()["card_growth"]
    with guarded(gpu["uuid"], LIMIT, cost) as share:
        found = _race(share)
    return {"processes": PROCESSES, "limit_mib": LIMIT / MIB, "context_mib": cost / MIB, **found}
