# SPDX-License-Identifier: Apache-2.0
"""python -m benchmarks.scheduling [RESULT]: how long one decision takes on a machine of 8 GPUs.

Nothing is started and no GPU is needed: `decide` is a function. Goal: 5 ms at the median. `fits` is
placed at once, `waits` is not, `waits for a set` asks for four GPUs, `passes` goes before the first
in the queue. With `ends` every share has a ttl, so the scheduler
has to find the time when the first in the queue fits.
"""

import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.ci_result import circumstances, save, target

from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import GpuGrant, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import FULL, GIB, MIB, Bytes, Percent, Seconds
from gpushare.scheduler import Request, Snapshot, decide

RESULT = Path(__file__).parent / "results" / "ci" / "scheduling.json"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
GPUS = 8
REPEATS = 50
GOAL_MS = 5
STACK = (MechanismName.TIMESLICE, MechanismName.GUARD)
MACHINE = Machine(
    gpus=tuple(
        Gpu(
            uuid=GpuId(f"GPU-{index}"),
            index=index,
            name="bench",
            memory_total=Bytes(80 * GIB),
            numa=index // 4,
        )
        for index in range(GPUS)
    ),
    capabilities=tuple(Capability(mechanism=name, available=True) for name in STACK),
    links={
        GpuId(f"GPU-{one}"): {GpuId(f"GPU-{two}"): "NV18" for two in range(GPUS) if two != one}
        for one in range(GPUS)
    },
)


def ask(gib: int, gpus: int = 1, ttl: int | None = None, number: int = 0) -> Request:
    spec = ShareSpec(
        memory=MemoryAsk(limit=Bytes(gib * GIB)),
        gpus=gpus,
        ttl=None if ttl is None else Seconds(ttl),
    )
    return Request(spec=spec, uid=1000, tenant=Tenant("lin"), id=ShareId(f"{number:012x}"))


def snapshot(shares: int, queue: int, *, ends: bool) -> Snapshot:
    """72 of 80 GiB are taken on each GPU, in shares of one size."""
    chance = random.Random(shares + queue)  # a fixed day
    size = Bytes(72 * GIB * GPUS // shares // MIB * MIB)
    return Snapshot(
        machine=MACHINE,
        promises=(Timeslice.promise, Guard.promise),
        now=NOW,
        shares=tuple(share(n, size, chance.randrange(60, 86400), ends=ends) for n in range(shares)),
        queue=tuple(ask(chance.choice([20, 40, 76]), number=n + shares) for n in range(queue)),
    )


def share(number: int, size: Bytes, seconds: int, *, ends: bool) -> Share:
    gpu = MACHINE.gpus[number % GPUS].uuid
    grant = GpuGrant(gpu=gpu, limit=size, request=size, compute=FULL, compute_request=Percent(0))
    return Share(
        id=ShareId(f"{number:012x}"),
        name=f"share-{number}",
        spec=ShareSpec(memory=MemoryAsk(limit=size)),
        tenant=Tenant("lin" if number % 2 else "mia"),
        uid=1000,
        gid=1000,
        state=State.RUNNING,
        created=NOW,
        decision=Decision(grants=(grant,), mechanisms=STACK),
        expires=NOW + timedelta(seconds=seconds) if ends else None,
    )


def measured(state: Snapshot, request: Request) -> dict[str, Any]:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        answer = decide(state, request)
        times.append((time.perf_counter() - begun) * 1000)
    return {
        "answer": type(answer).__name__.lower(),
        "median_ms": round(statistics.median(times), 2),
        "p90_ms": round(sorted(times)[int(REPEATS * 0.9)], 2),
    }


def rows() -> list[dict[str, Any]]:
    found = []
    for shares, queue, ends in product((96, 1000), (0, 100), (False, True)):
        state = snapshot(shares, queue, ends=ends)
        requests = {"waits": ask(60), "waits for a set": ask(60, gpus=4)}
        requests["passes" if queue else "fits"] = ask(2, ttl=30)
        for name, request in requests.items():
            row = {"shares": shares, "queue": queue, "ends": ends, "request": name}
            found.append({**row, **measured(state, request)})
    return found


def main() -> None:
    path = target(__doc__, RESULT)
    found = {
        **circumstances("benchmarks.scheduling"),
        "goal_ms": GOAL_MS,
        "gpus": GPUS,
        "decisions": rows(),
    }
    save(found, path)


if __name__ == "__main__":
    main()
