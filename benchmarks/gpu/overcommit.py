# SPDX-License-Identifier: Apache-2.0
"""Two jobs that do not fit together: `python -m benchmarks.gpu.overcommit`.

Each wants 100 GiB (or 72 % of a smaller GPU) and runs under `gpushare run --turns`: the daemon
changes between them. The whole is compared with one job after the other, from the same number of
steps of one job that nothing disturbs, measured in the same run without gpushare.
"""

import argparse
import contextlib
import math
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.gpu import machine
from benchmarks.gpu.program import Program
from benchmarks.gpu.served import Site, site
from benchmarks.gpu.suspend import program, say

from gpushare.model.errors import GpushareError
from gpushare.model.event import Event

GIB = 1 << 30
EXTRA = 3  # GiB: context, workspaces and loaded code of one job
SLACK = 2  # GiB that the driver keeps for itself, and pieces that do not fit
TRY = 3  # steps alone, to know how long one takes
LEAST = 10  # changes, for the figure to be one
PATIENCE = 300.0
MODULE = "benchmarks.gpu.overcommit"
NAMES = ("first", "second")


@dataclass
class Alone:
    """A job that nothing disturbs."""

    steps: int
    took_s: float
    step_s: list[float]
    digest: int


def alone(gib: int, seconds: float) -> Alone:
    with program("heavy", gib, machine.selected()) as job:
        job.hear(PATIENCE)
        step = statistics.median(job.ask({"steps": TRY}, PATIENCE)["step_s"])
        steps = math.ceil(seconds / step)
        begun = time.monotonic()
        found = job.ask({"steps": steps}, PATIENCE)
        took = found["ended"] - begun
        digest = job.ask({}, PATIENCE)["digest"]
    say(f"  alone: {steps} steps in {took:.2f} s")
    return Alone(steps, took, found["step_s"], digest)


@contextmanager
def two(here: Site, gib: int) -> Iterator[list[Program]]:
    """Both have allocated, each in its own turn."""
    with ExitStack() as stack:
        jobs = []
        for name in NAMES:
            before = here.run(
                name, "-m", f"{gib + EXTRA}GiB", "--mechanism", "timeslice", "--turns"
            )
            jobs.append(Program("heavy", [str(gib)], here.environment, before))
            stack.callback(jobs[-1].kill)
        for name, job in zip(NAMES, jobs, strict=True):
            job.hear(PATIENCE)
            say(f"  {name} is ready")
        yield jobs


class Turns(threading.Thread):
    """Collects what the daemon says about turns."""

    def __init__(self, here: Site) -> None:
        super().__init__(daemon=True)
        self._here, self.events = here, list[Event]()

    def run(self) -> None:
        """Ends with the daemon."""
        with contextlib.suppress(GpushareError, OSError):
            for event in self._here.client.events():
                if event.type in ("share.turn", "share.waits"):
                    self.events.append(event)


def together(jobs: list[Program], alone: Alone) -> dict[str, Any]:
    begun, wall = time.monotonic(), datetime.now(UTC)
    # The steps before the comparison are made here too, so that the memory must be the same.
    for job in jobs:
        job.tell({"steps": TRY})
        job.tell({"steps": alone.steps})
    tried = [job.hear(PATIENCE)["ended"] for job in jobs]
    found = [job.hear(PATIENCE) for job in jobs]
    took, until = max(each["ended"] for each in found) - begun, datetime.now(UTC)
    return {
        "took_s": took,
        "tried_s": [at - begun for at in tried],
        "step_s": [each["step_s"] for each in found],
        "between": (wall, until),
        "digests": [job.ask({}, PATIENCE)["digest"] for job in jobs],
    }


def acts(events: list[Event], between: tuple[datetime, datetime]) -> list[dict[str, Any]]:
    begun, until = between
    return [
        {"type": each.type, "share": each.share, "after_s": (each.at - begun).total_seconds()}
        for each in events
        if begun <= each.at <= until
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    total = machine.begin()["memory_total"] // GIB
    gib = options.gib or min(100, int(0.72 * total)) or 4
    base = alone(gib, options.alone)
    # What does not fit next to the other job has to leave.
    away = max(0, 2 * (gib + EXTRA) + SLACK - total) + options.spare
    settings = {
        "GPUSHARE_TURN_SECONDS": str(options.quantum),
        "GPUSHARE_SWAP_MEMORY": f"{away}GiB",
        "GPUSHARE_SWAP_AHEAD": f"{away}GiB",
    }
    with site(settings) as here:
        turns = Turns(here)
        turns.start()
        with two(here, gib) as jobs:
            found = together(jobs, base)
    acted = acts(turns.events, found["between"])
    changes = sum(each["type"] == "share.turn" for each in acted)
    # Each job makes TRY steps more than are timed alone.
    sum_s = 2 * base.took_s * (1 + TRY / base.steps)
    say(f"{found['took_s']:.1f} s with {changes} changes; {sum_s:.1f} s without")
    return {
        "gib_each": gib,
        "gpu_gib": total,
        "steps_each": base.steps + TRY,
        "turn_s": options.quantum,
        "changes": changes,
        "enough": changes >= LEAST,
        "together_s": found["took_s"],
        "alone_s": base.took_s,
        "one_after_the_other_s": sum_s,
        "ratio": found["took_s"] / sum_s,
        "change_s": (found["took_s"] - sum_s) / changes if changes else None,
        "bit_exact": found["digests"] == [base.digest] * 2,
        "acts": acted,
        "samples": {"alone_step_s": base.step_s, "step_s": found["step_s"]},
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--gib", type=int, default=0, help="of each job")
    parser.add_argument("--alone", type=float, default=42.0, help="seconds of each job's work")
    parser.add_argument("--quantum", type=float, default=6.0, help="seconds of a turn")
    parser.add_argument("--spare", type=int, default=6, help="GiB of host memory beyond one job's")
    return parser.parse_args()


def main() -> int:
    found = measure(arguments())
    samples = found.pop("samples")
    step = statistics.median(samples["alone_step_s"])
    solo = {"heavy_step": round(1000 * step, 3)}
    print(machine.save("overcommit", found, MODULE, solo_ms=solo, samples=samples))
    return 0 if found["enough"] and found["bit_exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
