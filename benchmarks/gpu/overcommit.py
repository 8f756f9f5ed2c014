# SPDX-License-Identifier: Apache-2.0
"""Two jobs that do not fit together take turns: `python -m benchmarks.gpu.overcommit`.

Each wants 100 GiB (or 72 % of a smaller GPU). One after the other would take the sum of their
times alone; that is what the whole is compared with.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu import machine
from benchmarks.gpu.mover import GIB, Mover, movable
from benchmarks.gpu.program import Program
from benchmarks.gpu.suspend import host_memory, program, say
from benchmarks.gpu.swap import Swap

EXTRA = 3 * GIB  # context, workspaces and loaded code of one job
SLACK = 2 * GIB  # what the driver keeps for itself, and pieces that do not fit
TRY = 3  # steps alone, to know how long one takes
INIT = 180.0


@dataclass
class Job:
    name: str
    program: Program
    mover: Mover
    step_s: float = 0.0
    done: dict[str, Any] | None = None

    @property
    def ended_at(self) -> float:
        return float(self.done["ended"]) if self.done else math.inf

    def learn(self) -> None:
        found = self.program.ask({"steps": TRY}, INIT)
        self.step_s = statistics.median(found["step_s"])
        say(f"  {self.name}: {self.step_s:.3f} s a step alone")

    def ended(self, patience: float) -> bool:
        if self.done is None:
            self.done = self.program.heard(patience)
        return self.done is not None


def switch(out: Job, into: Job, keep: int) -> dict[str, float]:
    """Both move at the same time: each takes what the other leaves."""
    begun = time.monotonic()
    out.mover.ask_out(keep)
    into.mover.ask_in()
    left = out.mover.out()
    back = into.mover.back()
    took = {"took_s": time.monotonic() - begun, "out_s": left.own_s, "in_s": back.own_s}
    say(f"  {out.name} -> {into.name} in {took['took_s']:.2f} s")
    return took


def until(jobs: list[Job], running: int, end: float) -> int:
    """The job that runs next: the other one, once this one's turn or work is over."""
    while time.monotonic() < end and not jobs[running].ended(0.01):
        pass
    return 1 - running if not jobs[1 - running].done else running


def rotate(jobs: list[Job], steps: int, keep: int, quantum: float) -> list[dict[str, float]]:
    """The first job is on the GPU when this begins; ends when both are done."""
    switches: list[dict[str, float]] = []
    running = 0
    for job in jobs:
        job.program.tell({"steps": steps})
    while not all(job.done for job in jobs):
        following = until(jobs, running, time.monotonic() + quantum)
        if following != running:
            switches.append(switch(jobs[running], jobs[following], keep))
        running = following
    return switches


def prepare(jobs: list[Job], keep: int) -> list[int]:
    """Lets one after the other allocate and run alone; the first is on the GPU in the end."""
    first, second = jobs
    sums = [first.program.hear(INIT)["ready"]]
    first.learn()
    first.mover.ask_out(keep)
    say(f"  {first.name} left: {first.mover.out()}")
    second.mover.ask_in()
    sums.append(second.program.hear(INIT)["ready"])
    second.learn()
    switch(second, first, keep)
    return sums


@contextmanager
def two(gib: int, swap: Swap | None) -> Iterator[list[Job]]:
    """The second starts suspended."""
    with ExitStack() as stack:
        jobs: list[Job] = []
        for name in ("first", "second"):
            mover = stack.enter_context(movable(gib * GIB + EXTRA, swap))
            if jobs:
                mover.ask_out()
            made = stack.enter_context(program("heavy", gib, mover.edits))
            stack.callback(made.kill)
            mover.attach(made.pid)
            jobs.append(Job(name, made, mover))
        yield jobs


def sums(jobs: list[Job], running: int, keep: int) -> list[int]:
    """Checksums of both; the second to be asked has to come onto the GPU first."""
    found = {}
    for at in (running, 1 - running):
        if at != running:
            switch(jobs[running], jobs[at], keep)
        found[at] = jobs[at].program.ask({}, INIT)["digest"]
    return [found[0], found[1]]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    total = machine.first_gpu()["memory_total"]
    gib = options.gib or min(100, int(0.72 * total) // GIB) or 4
    keep = max(0, total - gib * GIB - EXTRA - SLACK)
    away = max(0, gib * GIB + EXTRA - keep)
    with host_memory(away + options.spare * GIB) as swap, two(gib, swap) as jobs:
        touched = swap.touch() if swap else None
        say(f"pool {swap} touched in {touched} s; {keep / GIB:.1f} GiB may stay")
        before = prepare(jobs, keep)
        steps = math.ceil(options.alone / jobs[0].step_s)
        begun = time.monotonic()
        switches = rotate(jobs, steps, keep, options.quantum)
        took = max(job.ended_at for job in jobs) - begun
        last = max((0, 1), key=lambda at: jobs[at].ended_at)
        after = sums(jobs, last, keep)
    alone = steps * sum(job.step_s for job in jobs)
    say(f"{took:.1f} s together, {alone:.1f} s one after the other: {took / alone:.3f}")
    return {
        "gib_each": gib,
        "gpu_gib": total / GIB,
        "keep_gib": keep / GIB,
        "pool_touch_s": touched,
        "steps_each": steps,
        "step_s": [job.step_s for job in jobs],
        "quantum_s": options.quantum,
        "switches": switches,
        "together_s": took,
        "one_after_the_other_s": alone,
        "ratio": took / alone,
        "bit_exact": before[0] == before[1] and after[0] == after[1],
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.overcommit")
    parser.add_argument("--gib", type=int, default=0, help="of each job")
    parser.add_argument("--alone", type=float, default=40.0, help="seconds of each job's work")
    parser.add_argument("--quantum", type=float, default=20.0, help="seconds of a turn")
    parser.add_argument("--spare", type=int, default=6, help="GiB of host memory beyond one job's")
    return parser.parse_args()


def main() -> int:
    print(machine.save("overcommit", measure(arguments()), "benchmarks.gpu.overcommit"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
