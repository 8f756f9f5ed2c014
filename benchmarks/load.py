# SPDX-License-Identifier: Apache-2.0
"""python -m benchmarks.load [RESULT]: what the daemon costs as shares and requests become many.

A real daemon on a simulated dgx-h100 (8 GPUs) is asked over its unix socket. Every part runs
RUNS times, each time on a fresh daemon; the file has every run, and `runs_agree` the smallest and
the largest. Rates depend on what else the machine does, `daemon_cpu_ms_per_request` much less: it
is the user and system time of the daemon, from /proc.

Goals: with 372 shares in the queue a new one in 100 ms; 200 lists of 200 shares and 50 metrics a
second; 1,000 requests a second with a p99 of 50 ms; 2 % of a core with 500 running shares that ask
for nothing, and 80 MB and 1 % with 100.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ci_result import circumstances, save, target
from benchmarks.http_load import Generator, once, request, summary
from benchmarks.startup import cpu_seconds, daemon, resident

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "ci" / "load.json"
RUNS = int(os.environ.get("GPUSHARE_BENCH_RUNS", "3"))
SECONDS = float(os.environ.get("GPUSHARE_BENCH_SECONDS", "5"))
IDLE_SECONDS = float(os.environ.get("GPUSHARE_BENCH_IDLE_SECONDS", "30"))
SETTLE_SECONDS = 5.0
CONNECTIONS = 8
RATE = 1000
PROBES = 15
GOALS = {
    "create_ms": 100,
    "list_per_second": 200,
    "metrics_per_second": 50,
    "rate_per_second": RATE,
    "rate_p99_ms": 50,
    "idle_500_percent_of_a_core": 2,
    "idle_100_percent_of_a_core": 1,
    "idle_100_rss_mb": 80,
}

# Waits until its standard input closes; one process stands for one program of a share.
SLEEPERS = """
import os, sys
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        sys.stdin.buffer.read()
        os._exit(0)
    print(pid, flush=True)
print("ready", flush=True)
sys.stdin.buffer.read()
"""


class Api:
    """One daemon: its socket and its cost."""

    def __init__(self, env: dict[str, str], pid: int) -> None:
        self.env, self.pid, self.socket = env, pid, env["GPUSHARE_SOCKET"]

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        status, answer = once(self.socket, request(path, method, raw))
        assert status < 300, answer
        return json.loads(answer)

    def create(self, mib: int, **more: Any) -> Any:
        """A share without a program, which waits if there is no room for it."""
        spec = {"memory": {"limit": mib << 20}, **more}
        return self.ask("/v1/shares", "POST", {"spec": spec, "wait": True})

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.pid)


@contextmanager
def api() -> Iterator[Api]:
    with daemon() as (env, pid):
        yield Api(env, pid)


@contextmanager
def running(api: Api, count: int) -> Iterator[None]:
    """Shares with one sleeping program each."""
    shares = [api.create(1024)["id"] for _ in range(count)]
    with sleepers(count) as pids:
        for share, pid in zip(shares, pids, strict=True):
            api.ask(f"/v1/shares/{share}/enter", "POST", {"pid": pid})
        time.sleep(SETTLE_SECONDS)
        yield


@contextmanager
def sleepers(count: int) -> Iterator[list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, b"ready\n")
        yield [int(line) for line in lines]
    finally:
        process.stdin.close()
        process.wait()


def queue() -> dict[str, Any]:
    """A new share behind 0, 100 and 372 that wait, next to 64 that hold all memory."""
    found: dict[str, Any] = {}
    with api() as at:
        for _ in range(64):
            at.create(9 * 1024)
        created = 0
        for waiting in (0, 100, 372):
            while created < waiting:
                # As people ask: most alike, some not.
                at.create(12 * 1024 + 64 * (created % 7))
                created += 1
            found[f"create_behind_{waiting}"] = probes(at)
    return found


def probes(at: Api) -> dict[str, Any]:
    """Create shares that wait, and remove each, so that the queue stays as long."""
    times, before = [], at.cpu
    for _ in range(PROBES):
        begun = time.perf_counter()
        share = at.create(20 * 1024)["id"]
        times.append(1000 * (time.perf_counter() - begun))
        at.ask(f"/v1/shares/{share}", "DELETE")
    ordered = sorted(times)
    return {
        "median_ms": round(statistics.median(ordered), 1),
        "worst_ms": round(ordered[-1], 1),
        "raw_ms": [round(each, 1) for each in times],
        "daemon_cpu_ms_per_create_and_remove": round(1000 * (at.cpu - before) / PROBES, 1),
    }


def calls() -> dict[str, Any]:
    """Reads with 200 running shares: as fast as they are answered, and 1,000 a second."""
    with api() as at, running(at, 200):
        share = at.ask("/v1/shares")["items"][17]["id"]
        paths = {
            "list_of_200": "/v1/shares",
            "one_share": f"/v1/shares/{share}",
            "metrics": "/v1/metrics",
            "gpus": "/v1/gpus",
            "version": "/v1/version",
        }
        found = {name: closed(at, path) for name, path in paths.items()}
        return {**found, **{f"{name}_at_1000": steady(at, path) for name, path in paths.items()}}


def short_list() -> dict[str, Any]:
    """The list with 20 running shares."""
    with api() as at, running(at, 20):
        path = "/v1/shares"
        return {"list_of_20": closed(at, path), "list_of_20_at_1000": steady(at, path)}


def closed(at: Api, path: str) -> dict[str, Any]:
    return measured(at, lambda generator: generator.closed(request(path), SECONDS))


def steady(at: Api, path: str) -> dict[str, Any]:
    return measured(at, lambda generator: generator.open(request(path), RATE, SECONDS), 64)


def measured(
    at: Api, load: Callable[[Generator], Any], connections: int = CONNECTIONS
) -> dict[str, Any]:
    generator = Generator(at.socket, connections)
    try:
        before = at.cpu
        answers = load(generator)
        return summary(answers, at.cpu - before)
    finally:
        generator.close()


def idle(count: int) -> dict[str, Any]:
    """What the daemon costs while nothing is asked of it."""
    with api() as at, running(at, count):
        before, begun = at.cpu, time.monotonic()
        time.sleep(IDLE_SECONDS)
        percent = 100 * (at.cpu - before) / (time.monotonic() - begun)
        return {
            "cpu_percent_of_a_core": round(percent, 2),
            "rss_mb": resident(at.pid),
            "seconds": IDLE_SECONDS,
        }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "queue": queue,
    "calls": calls,
    "short_list": short_list,
    "idle_100": lambda: {"idle_100": idle(100)},
    "idle_500": lambda: {"idle_500": idle(500)},
}


def spread(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The smallest, the median and the largest of each figure over the runs."""
    found: dict[str, Any] = {}
    for name, first in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(first, dict):
            found[name] = spread(values)
        elif isinstance(first, int | float):
            found[name] = [min(values), statistics.median(values), max(values)]
    return found


def main() -> None:
    path = target(__doc__, RESULT)
    parts = os.environ.get("GPUSHARE_BENCH_PARTS", ",".join(PARTS)).split(",")
    runs = {name: [PARTS[name]() for _ in range(RUNS)] for name in parts}
    found = {
        **circumstances("benchmarks.load", profile="dgx-h100", simulated=True),
        "goals": GOALS,
        "smallest_median_largest": {name: spread(each) for name, each in runs.items()},
        "runs": runs,
    }
    save(found, path)


if __name__ == "__main__":
    main()
