# SPDX-License-Identifier: Apache-2.0
"""A week of 20 tenants: what arrives, drawn with a seed from published figures.

- Training: the mix of GPUs and fractions is that of openb's `default` (FGD simulator, USENIX
  ATC'23), without its 44 jobs of eight GPUs: next to services that run all week none could ever run
  here, under any of the ways. Durations are lognormal with the median and the mean of Helios' GPU
  jobs (SC'21: 206 s and 6,652 s), at most two days. A job computes on a part of what it asks for:
  mean 0.55 of a whole GPU (Philly, USENIX ATC'19: 52 %), 0.7 of a fraction.
- Notebooks: sessions of working hours, about three hours long, 7 % of a GPU's time (the mean duty
  cycle of Alibaba's GenAI trace of 2026), ask for 32 GiB.
- Services: two, all week, 24.8 of 32 GiB (the same trace's median), 15 % of a GPU's time, 25 %
  asked for, high priority.
- Tenants differ in activity by Zipf's law: in Alibaba's PAI (NSDI'22) few users submit most jobs.
- Fewer jobs arrive at night and at weekends.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

from gpushare.model.ids import ShareId, Tenant
from gpushare.model.spec import ComputeAsk, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.virtual.courses import Job

HOUR, DAY = 3600.0, 86400.0
WEEK = 7 * DAY
TENANTS, GPUS = 20, 8
GPU_GIB = 140
COUNTS = {0: 3078, 1: 3911, 2: 16, 4: 15}  # GPUs of a job: how many; 0: a fraction
FRACTIONS = {0.81: 1078, 0.47: 750, 0.32: 328, 0.65: 253, 0.23: 140, 0.46: 128}
MEDIAN_S, MEAN_S, LONGEST_S = 206.0, 6652.0, 2 * DAY
SIGMA = math.sqrt(2 * math.log(MEAN_S / MEDIAN_S))
CHECKPOINT_S = 1800.0  # training writes one so often
SERVICES, SESSIONS = 2, 0.8  # sessions of a notebook per tenant and working day


def tenant(number: int) -> Tenant:
    return Tenant(f"t{number:02}")


def week(seed: int, load: float) -> list[Job]:
    """Jobs in the order of arrival. `load`: GPUs asked for, times the time alone, over the
    machine."""
    chance = random.Random(seed)
    activity = [1 / (rank + 1) for rank in range(TENANTS)]
    chance.shuffle(activity)
    jobs = [*_services(chance), *_notebooks(chance)]
    wanted = load * GPUS * WEEK - sum(_asked(job) for job in jobs)
    while wanted > 0:
        jobs.append(_training(chance, activity))
        wanted -= _asked(jobs[-1])
    jobs.sort(key=lambda job: job["at"])
    return [_made(number, job) for number, job in enumerate(jobs)]


def _asked(job: dict[str, Any]) -> float:
    return float(job["size"] * min(job["runs"], WEEK - job["at"]))


def _made(number: int, job: dict[str, Any]) -> Job:
    return Job(id=ShareId(f"{number:012x}"), uid=1000 + int(job["tenant"][1:]), **job)


def _moment(chance: random.Random) -> float:
    """A time of the week: weekdays from 9 to 19 are busiest."""
    while True:
        at = chance.uniform(0, WEEK)
        weekday, hour = at < 5 * DAY, at % DAY / HOUR
        busy = (1.0 if 9 <= hour < 19 else 0.3) if weekday else 0.25
        if chance.random() < busy:
            return at


def _training(chance: random.Random, activity: list[float]) -> dict[str, Any]:
    gpus = chance.choices(list(COUNTS), COUNTS.values())[0]
    runs = min(LONGEST_S, chance.lognormvariate(math.log(MEDIAN_S), SIGMA))
    job = {
        "tenant": tenant(chance.choices(range(TENANTS), activity)[0]),
        "at": _moment(chance),
        "runs": max(10.0, runs),
        "restarts": True,
        "checkpoint": CHECKPOINT_S,
        "program": "train",
    }
    return job | (_whole(chance, gpus) if gpus else _fraction(chance))


def _whole(chance: random.Random, gpus: int) -> dict[str, Any]:
    return {
        "spec": ShareSpec(gpus=gpus),
        "need": chance.uniform(0.2, 0.9),
        "used": Bytes(int(chance.uniform(0.2, 0.95) * GPU_GIB * GIB)),
        "size": float(gpus),
    }


def _fraction(chance: random.Random) -> dict[str, Any]:
    size = chance.choices(list(FRACTIONS), FRACTIONS.values())[0]
    memory = int(size * GPU_GIB) * GIB
    compute = ComputeAsk(limit=Percent(round(100 * size)))
    return {
        "spec": ShareSpec(memory=MemoryAsk(limit=Bytes(memory)), compute=compute),
        "need": size * chance.uniform(0.4, 1.0),
        "used": Bytes(int(memory * chance.uniform(0.5, 1.0))),
        "size": size,
    }


def _notebooks(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(TENANTS):
        for day in range(5):
            for _ in range(_poisson(chance, SESSIONS)):
                begin = day * DAY + chance.uniform(8, 17) * HOUR
                yield {
                    "tenant": tenant(number),
                    "at": begin,
                    "runs": min(12 * HOUR, chance.lognormvariate(math.log(3 * HOUR), 0.6)),
                    "spec": ShareSpec(memory=MemoryAsk(limit=Bytes(32 * GIB))),
                    "need": min(0.25, max(0.005, chance.expovariate(1 / 0.07))),
                    "used": Bytes(int(chance.uniform(4, 30) * GIB)),
                    "size": 32 / GPU_GIB,
                    "program": "notebook",
                }


def _services(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in chance.sample(range(TENANTS), SERVICES):
        yield {
            "tenant": tenant(number),
            "at": chance.uniform(0, 12 * HOUR),
            "runs": WEEK,
            "spec": ShareSpec(
                memory=MemoryAsk(limit=Bytes(32 * GIB)),
                compute=ComputeAsk(limit=Percent(25)),
                priority=Priority.HIGH,
            ),
            "need": 0.15,
            "used": Bytes(int(24.8 * GIB)),
            "size": 0.25,
            "restarts": True,
            "program": "service",
        }


def _poisson(chance: random.Random, mean: float) -> int:
    count, left = 0, math.exp(-mean)
    product = chance.random()
    while product > left:
        count += 1
        product *= chance.random()
    return count
