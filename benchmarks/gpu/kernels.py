# SPDX-License-Identifier: Apache-2.0
"""How long the kernels of the jobs are alone: `python -m benchmarks.gpu.kernels`.

A kernel cannot be interrupted, so this is the longest wait of high-priority work.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu import machine
from benchmarks.gpu.colocation.engine import Engine, steady
from benchmarks.gpu.colocation.jobs import JOBS, Job, Marks
from benchmarks.gpu.colocation.page import Page
from torch.profiler import ProfilerActivity, profile

NAMES, STEPS = ("resnet50", "gpt"), 3
BOUNDS_US = (150, 300, 500, 1000)
LONGEST = 5


def launches(job: Job, engine: Engine) -> list[tuple[float, str]]:
    """Microseconds and names of what some steps ran on the GPU."""
    activity = ProfilerActivity.CUDA if engine.real else ProfilerActivity.CPU
    with profile(activities=[activity]) as seen:
        for _ in range(STEPS):
            job.step()
        engine.wait()
    return [
        (event.time_range.elapsed_us(), event.name)
        for event in seen.events()
        if str(event.device_type).endswith("CUDA" if engine.real else "CPU")
    ]


def summary(found: list[tuple[float, str]]) -> dict[str, Any]:
    """Parts of GPU time spent in kernels longer than so many microseconds; the longest by name."""
    whole = sum(us for us, _ in found)
    longest: dict[str, float] = {}
    for us, name in sorted(found, reverse=True):
        longest.setdefault(name, us)
    return {
        "kernels_per_step": len(found) // STEPS,
        "gpu_ms_per_step": round(whole / 1000 / STEPS, 3),
        "longer_than_us": {
            str(bound): round(sum(us for us, _ in found if us > bound) / whole, 4)
            for bound in BOUNDS_US
        },
        "longest_us": {name[:60]: round(longest[name], 1) for name in list(longest)[:LONGEST]},
    }


def measure(engine: Engine, smoke: bool) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, engine.on_stream():
        marks = Marks(engine, Page(Path(folder) / "page"))
        for name in NAMES:
            job = JOBS[name](engine, marks, smoke)
            job.warm()
            engine.wait()
            found[name] = summary(launches(job, engine))
            print(f"  {name}: {found[name]}", flush=True)
    return found


def main() -> int:
    machine.begin()
    steady(2)
    engine = Engine("cpu" if machine.smoke() else "cuda")
    machine.save("kernels", measure(engine, machine.smoke()), "benchmarks.gpu.kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
