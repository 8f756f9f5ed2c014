# SPDX-License-Identifier: Apache-2.0
"""python -m benchmarks.week [RESULT]: a simulated week of 20 tenants on 8 GPUs, in virtual time.

The scheduler's own decisions (order, quotas, fair shares, placement, reclaim) are compared with
whole GPUs first come first served, and with fixed equal parts, on the same arrivals: five seeds at
each load. Nothing is started and no GPU is needed. `benchmarks.week_jobs` says what arrives and
from which published figures, `gpushare.virtual` what the figures mean and what is not modelled.
Arrivals end after a week; jobs are followed for three more days.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import msgspec
from benchmarks.ci_result import circumstances, save, target
from benchmarks.week_jobs import DAY, GPU_GIB, GPUS, TENANTS, WEEK, tenant, week
from benchmarks.week_others import exclusive, fixed

from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.virtual.courses import Course, Job
from gpushare.virtual.engine import Costs, Engine
from gpushare.virtual.measures import Measures, measures

RESULT = Path(__file__).parent / "results" / "ci" / "week.json"
SEEDS, LOADS = (1, 2, 3, 4, 5), (0.4,)
UNTIL = WEEK + 3 * DAY
PROMISES = (Exclusive.promise, Timeslice.promise, Guard.promise)
STACK = (MechanismName.EXCLUSIVE, MechanismName.TIMESLICE, MechanismName.GUARD)
MACHINE = Machine(
    gpus=tuple(
        Gpu(uuid=GpuId(f"GPU-{n}"), index=n, name="bench", memory_total=Bytes(GPU_GIB * GIB))
        for n in range(GPUS)
    ),
    capabilities=tuple(Capability(mechanism=name, available=True) for name in STACK),
)
PART = Amount(memory=Bytes(GPU_GIB * GIB * GPUS // TENANTS), compute=Percent(100 * GPUS // TENANTS))
EQUAL = Policy(tenants={tenant(n): TenantSpec(guaranteed=PART) for n in range(TENANTS)})
WEIGHTS = Policy(tenants={tenant(n): TenantSpec() for n in range(TENANTS)})
Way = Callable[[list[Job]], list[Course]]


def ours(policy: Policy) -> Way:
    return lambda jobs: Engine(MACHINE, PROMISES, policy, Costs()).run(jobs, UNTIL)


WAYS: dict[str, Way] = {
    "gpushare": ours(EQUAL),
    "gpushare without guarantees": ours(WEIGHTS),
    "whole GPUs, first come": lambda jobs: exclusive(jobs, GPUS, GPU_GIB * GIB, UNTIL),
    "fixed parts": lambda jobs: fixed(jobs, TENANTS, GPUS, GPU_GIB * GIB, UNTIL),
}


def row(name: str, load: float, seed: int) -> dict[str, Any]:
    jobs = week(seed, load)
    begun = time.process_time()
    courses = WAYS[name](jobs)
    took = time.process_time() - begun
    found = measures(courses, MACHINE, EQUAL, WEEK)
    print(f"{load} {name}, seed {seed}: {took:.0f} s", file=sys.stderr)
    return {
        "way": name, "load": load, "seed": seed, "cpu_s": round(took, 1), **_rounded(found),
        "by_class": by_class(courses),
    }  # fmt: skip


def by_class(courses: Sequence[Course]) -> dict[str, Any]:
    """Waits and slowdowns of training, notebooks and services."""
    names = sorted({course.job.program for course in courses})
    own = {name: [c for c in courses if c.job.program == name] for name in names}
    figures = {name: _rounded(measures(some, MACHINE, EQUAL, WEEK)) for name, some in own.items()}
    kept = ("jobs", "never", "waiting", "wait", "slowdown")
    return {name: {key: found[key] for key in kept} for name, found in figures.items()}


def _rounded(found: Measures) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    for key, value in plain.items():
        if isinstance(value, dict):
            plain[key] = {name: round(figure, 2) for name, figure in value.items()}
        elif isinstance(value, float):
            plain[key] = round(value, 4)
    return plain


SUMMED = (
    "jain", "worst", "compute_granted", "compute_used", "memory_granted", "memory_used",
    "suspended", "evicted", "throttled", "lost_hours", "never", "waiting",
)  # fmt: skip


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean, least and largest over the seeds, for each way and load."""
    made = []
    for load in LOADS:
        for name in WAYS:
            own = [each for each in rows if (each["way"], each["load"]) == (name, load)]
            flat = [_flat(each) for each in own]
            figures = {key: _over_seeds([each[key] for each in flat]) for key in flat[0]}
            made.append({"way": name, "load": load, "seeds": len(own), **figures})
    return made


def _flat(found: dict[str, Any]) -> dict[str, float]:
    nested = {
        f"{key}_{part}": found[key][part] for key in ("wait", "slowdown") for part in found[key]
    }
    return {**{key: found[key] for key in SUMMED}, **nested}


def _over_seeds(figures: Sequence[float]) -> dict[str, float]:
    return {
        "mean": round(statistics.fmean(figures), 4),
        "least": min(figures),
        "largest": max(figures),
    }


def document(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        **circumstances("benchmarks.week"),
        "tenants": TENANTS,
        "gpus": GPUS,
        "gpu_gib": GPU_GIB,
        "loads": LOADS,
        "seeds": SEEDS,
        "costs": msgspec.to_builtins(Costs()),
        "summary": summary(rows),
        "rows": rows,
    }


def main() -> None:
    path = target(__doc__, RESULT)
    todo = [(name, load, seed) for load in LOADS for seed in SEEDS for name in WAYS]
    with Pool() as pool:
        save(document(pool.starmap(row, todo, chunksize=1)), path)


if __name__ == "__main__":
    main()
