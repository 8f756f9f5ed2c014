# SPDX-License-Identifier: Apache-2.0
"""What a compute limit delivers: `python -m benchmarks.gpu.caps`.

Delivered is throughput against the same guarded program without a limit; the limit changes while
the program runs. Neighbours: none, a training job limited to the rest, an unlimited one.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu import machine, mps
from benchmarks.gpu.colocation.process import Jobs
from benchmarks.gpu.colocation.progress import Profile, Trace
from benchmarks.gpu.colocation.results import trace_samples
from benchmarks.gpu.served import site
from benchmarks.gpu.share import Share, share

GIB = 1 << 30
LIMIT = 60 * GIB
FIRST, SECOND = 0, 1
NEIGHBOURS = ("none", "rest", "unlimited")
SETTLE, BEYOND, WITHIN = 1.0, 0.25, 0.02


@dataclass
class Pair:
    """Two programs in shares whose limits the benchmark changes through the daemon."""

    first: Jobs
    second: Jobs | None
    shares: list[Share]

    def limit(self, slot: int, percent: int) -> None:
        if slot < len(self.shares):
            self.shares[slot].set_limit(percent)

    def neighbour(self, kind: str, percent: int) -> None:
        if self.second:
            self.limit(SECOND, 100 - percent if kind == "rest" else 100)

    def counters(self) -> dict[str, int]:
        return self.shares[FIRST].counters() if self.shares else {}


@contextmanager
def pair(programs: list[str], base: str, both: bool) -> Iterator[Pair]:
    with ExitStack() as stack:
        shares: list[Share] = []
        if not machine.bare():
            here = stack.enter_context(site())
            made = (share(here, name, LIMIT, base=base) for name in ("first", "second")[: 1 + both])
            shares += map(stack.enter_context, made)
        edits = [each.edits for each in shares] or [{}, {}]
        first = Jobs(programs, edits[FIRST])
        stack.callback(first.end)
        second = Jobs(["gpt"], edits[SECOND]) if both else None
        if second:
            stack.callback(second.end)
        for each in (first, second):
            if each:
                each.ready()
        yield Pair(first, second, shares)


@dataclass
class Whole:
    """A program without a limit."""

    profile: Profile
    pace: dict[str, float | None]


def unlimited(jobs: Jobs, name: str, seconds: float) -> Whole:
    jobs.start(name)
    time.sleep(SETTLE)
    pace = machine.pace()
    trace = jobs.trace(seconds)
    found = pace.end()
    jobs.pause()
    return Whole(jobs.profile(name, trace), found)


@dataclass
class Look:
    """A limit that changes at `begin`, and what both programs did from then on."""

    begin: float
    end: float
    trace: Trace
    other: Trace | None
    pace: dict[str, float | None]

    @property
    def settled(self) -> tuple[float, float]:
        return self.begin + SETTLE, self.end


def look(here: Pair, percent: int, seconds: float) -> Look:
    """Traces reach beyond the end, so that it lies between two marks and not on one."""
    sampler = here.first.watch()
    beside = here.second.watch() if here.second and here.second.page.state else None
    begin = time.monotonic()
    here.limit(FIRST, percent)
    end = begin + SETTLE + seconds
    pace = machine.pace()
    time.sleep(end - time.monotonic() + BEYOND)
    found = pace.end()
    return Look(begin, end, sampler.end(), beside.end() if beside else None, found)


def row(
    found: Look, percent: int, before: float | None, profile: Profile, other: Profile | None
) -> dict[str, Any]:
    """`before`: the part that it had until then, where that is known."""
    span = found.settled
    delivered = profile.delivered(found.trace, *span)
    known = before is not None
    lag = round(profile.lag(found.trace, found.begin, before, delivered), 3) if known else None
    beside = other.delivered(found.other, *span) if other and found.other else None
    return {
        "limit": percent,
        "delivered": round(100 * delivered, 2),
        "error": round(100 * delivered - percent, 2),
        "lag_s": lag,
        "converged": profile.settled(found.trace, found.begin, percent / 100, WITHIN),
        "neighbour_delivered": None if beside is None else round(100 * beside, 2),
        "pace": found.pace,
    }


def limits(
    here: Pair,
    name: str,
    kind: str,
    options: argparse.Namespace,
    *,
    profiles: dict[str, Profile],
    samples: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """All levels with one neighbour; both programs run all the time."""
    rows: list[dict[str, Any]] = []
    here.limit(FIRST, 100)
    here.first.start(name)
    if here.second and kind != "none":
        here.second.start("gpt")
    before = 1.0 if kind == "none" else None
    # Upwards: what the neighbour gives up first is then there for the limit.
    for percent in sorted(options.levels):
        here.neighbour(kind, percent)
        found = look(here, percent, options.seconds)
        made = row(found, percent, before, profiles[name], profiles.get("neighbour"))
        before = made["delivered"] / 100
        rows.append({"program": name, "neighbour": kind, **made})
        key = {"base": options.base, "program": name, "neighbour": kind, "limit": percent}
        traces = {"job": trace_samples(found.trace)}
        if found.other:
            traces["neighbour_job"] = trace_samples(found.other)
        samples.append(
            {**key, "begin_us": round(1e6 * (found.begin - found.trace.times[0])), **traces}
        )
        print(f"  {rows[-1]}", flush=True)
    for slot, jobs in ((FIRST, here.first), (SECOND, here.second)):
        if jobs:
            here.limit(slot, 100)
            jobs.pause()
    return rows


def threads(programs: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """MPS' own limit, for comparison: one unguarded program for each percentage."""
    rows = []
    with ExitStack() as stack:
        pipe = stack.enter_context(mps.daemon()) if not machine.bare() else {}
        made = {}
        for percent in (100, *options.levels):
            own = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(percent)}
            made[percent] = Jobs(programs, {**pipe, **own})
            stack.callback(made[percent].end)
        for jobs in made.values():
            jobs.ready()
        for name in programs:
            whole = unlimited(made[100], name, options.seconds).profile.step_s
            for percent in options.levels:
                part = whole / unlimited(made[percent], name, options.seconds).profile.step_s
                rows.append({"program": name, "limit": percent, "delivered": round(100 * part, 2)})
                print(f"  mps {rows[-1]}", flush=True)
    return rows


def measure(
    options: argparse.Namespace, body: dict[str, Any], samples: list[dict[str, Any]]
) -> Iterator[None]:
    """Fills `body` and `samples`; each step leaves them worth saving."""
    both = any(kind != "none" for kind in options.neighbours)
    body |= {"base": options.base, **machine.stamp(), "rows": [], "mps_threads": []}
    with pair(options.programs, options.base, both) as here:
        whole = {n: unlimited(here.first, n, options.seconds) for n in options.programs}
        if here.second:
            whole["neighbour"] = unlimited(here.second, "gpt", options.seconds)
        profiles = {name: each.profile for name, each in whole.items()}
        body["pace_without_limit"] = {name: each.pace for name, each in whole.items()}
        steps = {name: round(1000 * each.step_s, 3) for name, each in profiles.items()}
        body["step_ms_without_limit"] = steps
        for name in options.programs:
            for kind in options.neighbours:
                body["rows"] += limits(
                    here, name, kind, options, profiles=profiles, samples=samples
                )
                body["worst_error"] = max(abs(each["error"]) for each in body["rows"])
                yield
        body["gate"] = here.counters()
    if options.mps_threads:
        body["mps_threads"] = threads(options.programs, options)
    yield


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.caps", description=__doc__)
    parser.add_argument("--programs", type=_words, default=["resnet50", "gpt", "decode"])
    parser.add_argument("--levels", type=_numbers, default=[10, 25, 50, 75])
    parser.add_argument("--neighbours", type=_words, default=list(NEIGHBOURS))
    parser.add_argument("--base", choices=("mps", "timeslice"), default="timeslice")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one look")
    parser.add_argument("--mps-threads", action="store_true", help="also MPS' own percentages")
    options = parser.parse_args()
    if unknown := set(options.neighbours) - set(NEIGHBOURS):
        parser.error(f"no such neighbour: {', '.join(unknown)}; there are {', '.join(NEIGHBOURS)}")
    return options


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> int:
    options, samples = arguments(), list[dict[str, Any]]()
    name = f"caps-{options.base}"
    body: dict[str, Any] = {}
    machine.begin()
    for _ in measure(options, body, samples):
        machine.save(
            name,
            body,
            "benchmarks.gpu.caps",
            solo_ms=body["step_ms_without_limit"],
            samples=samples,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
