# SPDX-License-Identifier: Apache-2.0
"""python -m benchmarks.startup [RESULT]: what commands add to a start, and what the daemon costs.

Everything runs on a simulated dgx-h100, so that the same figures can be taken anywhere. Goals:
`run -- true` adds 150 ms at most, `ps` takes 200 ms, the daemon holds 80 MB and 1 % of a core with
8 GPUs and 100 processes in shares.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ci_result import circumstances, save, target

from gpushare.hardware.simulated import machine

RESULT = Path(__file__).parent / "results" / "ci" / "startup.json"
GPUSHARE = str(Path(sys.executable).with_name("gpushare"))
PROFILE = "dgx-h100"
REPEATS = 30
PROCESSES = 100
IDLE_SECONDS = 20
PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")

# A program of a share: one context, some memory, then it waits for its standard input to close.
PROGRAM = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, block = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(256 << 20)) == 0
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def daemon() -> Iterator[tuple[dict[str, str], int]]:
    """The environment that reaches a fresh daemon, and its pid."""
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as name, machine(PROFILE) as made:
        folder = Path(name)
        places = {
            "GPUSHARE_SOCKET": folder / "sock",
            "GPUSHARE_STATE_DIR": folder / "state",
            "GPUSHARE_RUNTIME_DIR": folder / "run",
        }
        env = {**made.environment(), **{key: str(path) for key, path in places.items()}}
        subprocess.run([GPUSHARE, "daemon", "--detach"], env=env, check=True)
        try:
            yield env, json.loads(output(env, "version", "-o", "json"))["daemon"]["pid"]
        finally:
            subprocess.run([GPUSHARE, "daemon", "stop"], env=env, check=True)


def output(env: dict[str, str], *words: str) -> str:
    return subprocess.run(
        [GPUSHARE, *words], env=env, check=True, capture_output=True, text=True
    ).stdout


def milliseconds(env: dict[str, str], command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def paired(env: dict[str, str], commands: dict[str, list[str]]) -> dict[str, list[float]]:
    """Times of the commands, taken in turns so that a busy moment hits them all."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            times[name].append(milliseconds(env, command))
    return times


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median_ms": round(statistics.median(ordered), 1),
        "best_ms": round(ordered[0], 1),
        "p90_ms": round(ordered[int(len(ordered) * 0.9)], 1),
    }


def commands() -> dict[str, Any]:
    with daemon() as (env, _):
        run = [GPUSHARE, "run", "-m", "1GiB", "--", "true"]
        subprocess.run(run, env=env, check=True)  # the first one verifies the mechanism
        times = paired(
            env,
            {
                "true": ["true"],
                "gpushare --version": [GPUSHARE, "--version"],
                "gpushare ps": [GPUSHARE, "ps"],
                "gpushare run -- true": run,
            },
        )
    pairs = zip(times["gpushare run -- true"], times["true"], strict=True)
    return {
        **{name: summary(found) for name, found in times.items()},
        "run adds": summary([ours - bare for ours, bare in pairs]),
    }


def load() -> dict[str, Any]:
    """The daemon while PROCESSES programs hold their shares and nothing is asked of it."""
    with daemon() as (env, pid), ExitStack() as programs:
        empty = resident(pid)
        started = [programs.enter_context(program(env)) for _ in range(PROCESSES)]
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        living = len(json.loads(output(env, "ps", "-o", "json"))["items"])
        before, begun = cpu_seconds(pid), time.monotonic()
        time.sleep(IDLE_SECONDS)
        spent, passed = cpu_seconds(pid) - before, time.monotonic() - begun
        return {
            "gpus": 8,
            "processes": living,
            "rss_empty_mb": empty,
            "rss_mb": resident(pid),
            "cpu_percent_of_a_core": round(100 * spent / passed, 2),
            "ps": summary([milliseconds(env, [GPUSHARE, "ps"]) for _ in range(REPEATS)]),
        }


@contextmanager
def program(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [GPUSHARE, "run", "-m", "2GiB", "--", sys.executable, "-c", PROGRAM],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE)


def resident(pid: int) -> float:
    """Resident set, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kib] = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return round(kib * 1024 / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    """User and system time so far: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    path = target(__doc__, RESULT)
    found = {
        **circumstances("benchmarks.startup", profile=PROFILE, simulated=True),
        "goals": {
            "run_adds_ms": 150,
            "ps_ms": 200,
            "version_ms": 100,
            "rss_mb": 80,
            "cpu_percent_of_a_core": 1,
        },
        "commands": commands(),
        "daemon": load(),
    }
    save(found, path)


if __name__ == "__main__":
    main()
