# SPDX-License-Identifier: Apache-2.0
"""What a process holds over time, and whether it grows."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """`at`: seconds. `memory`: resident, in MB."""

    at: float
    memory: float
    descriptors: float
    threads: float


def held(pid: int) -> Held:
    """What the process holds now; raises OSError if there is none."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    numbers = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 (names only)
    memory = int(numbers["VmRSS"]) * 1024 / 1e6
    return Held(time.monotonic(), memory, descriptors, int(numbers["Threads"]))


@dataclass(frozen=True)
class Growth:
    """By the straight line that fits best, over all of the time that was watched."""

    memory: float
    descriptors: float
    threads: float


def growth(samples: list[Held]) -> Growth:
    """Raises ValueError for less than two samples."""
    times = [sample.at for sample in samples]
    span = times[-1] - times[0]
    memory, descriptors, threads = (
        span * _slope(times, [sample[field] for sample in samples]) for field in (1, 2, 3)
    )
    return Growth(memory, descriptors, threads)


def _slope(times: list[float], values: list[float]) -> float:
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    pairs = zip(times, values, strict=True)
    return sum((at - middle) * (value - mean) for at, value in pairs) / sum(
        (at - middle) ** 2 for at in times
    )
