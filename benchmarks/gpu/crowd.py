# SPDX-License-Identifier: Apache-2.0
"""What MPS costs a service next to idle programs: `python -m benchmarks.gpu.crowd`.

No guard, no job. Programs with 1 GiB and no work come, then go; requests come back to back.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.gpu import machine, mps
from benchmarks.gpu.colocation.process import Services
from benchmarks.gpu.program import Program

SERVICES, REQUESTS = ("bert", "llm"), (600, 200)
CROWDS = (0, 1, 3, 7, 3, 1, 0)


def paces(services: Services) -> dict[str, float]:
    """Milliseconds of a request."""
    return {
        name: round(1000 * services.pace(name, requests), 4)
        for name, requests in zip(SERVICES, REQUESTS, strict=True)
    }


class Crowd:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._env, self._there = env, list[Program]()

    def become(self, size: int) -> None:
        while len(self._there) > size:
            self._there.pop().end()
        fresh = [Program("resident", ["1"], self._env) for _ in range(size - len(self._there))]
        for program in fresh:
            program.hear()
        self._there += fresh


def crowded(services: Services, env: Mapping[str, str], sizes: Sequence[int]) -> list[Any]:
    crowd, rows = Crowd(env), []
    for size in sizes:
        crowd.become(size)
        rows.append({"idle": size, "ms": paces(services)})
        print(f"  {rows[-1]}", flush=True)
    crowd.become(0)
    return rows


def measure() -> dict[str, Any]:
    with ExitStack() as stack:
        pipe = {} if machine.smoke() else stack.enter_context(mps.daemon())
        alone, client = Services(SERVICES, {}), Services(SERVICES, pipe)
        for each in (alone, client):
            stack.callback(each.end)
        for each in (alone, client):
            each.ready()
        native = [paces(alone)]
        low = {**pipe, "CUDA_MPS_CLIENT_PRIORITY": "1"}
        rows = crowded(client, low, CROWDS)
        native.append(paces(alone))
    return {"native_ms": native, "rows": rows}


def main() -> int:
    machine.begin()
    machine.save("crowd", measure(), "benchmarks.gpu.crowd")
    return 0


if __name__ == "__main__":
    sys.exit(main())
