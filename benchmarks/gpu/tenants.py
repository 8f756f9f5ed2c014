# SPDX-License-Identifier: Apache-2.0
"""Two tenants with parts of one GPU, both busy: `python -m benchmarks.gpu.tenants`.

Each runs a program under `gpushare run -c`, through the daemon. A program's part is its throughput
divided by its own throughput alone, without gpushare, before and after. The goal is a part within
3 points of the limit over five minutes. First both run without gpushare, for comparison.
"""

import argparse
import getpass
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.gpu import machine, mps
from benchmarks.gpu.program import Program
from benchmarks.gpu.served import Site, site

GOAL_POINTS = 3.0
SETTLE, SOLO, BARE, BUCKET = 1.0, 8.0, 10.0, 10.0
RUNS = ("timeslice:300", "mps:60")
POLICY = """
apiVersion = "v1"

[tenant.first]
users = ["{user}"]
guaranteed = {{ compute = {first} }}

[tenant.second]
users = ["{user}"]
guaranteed = {{ compute = {second} }}
"""
Sample = tuple[float, int]


@dataclass
class Tenant:
    """Its program, and what that has reported since it was last asked to begin."""

    name: str
    program: Program
    samples: list[Sample] = field(default_factory=list)

    def begin(self) -> None:
        self.program.tell(True)

    def pause(self) -> None:
        """Also takes down what it has reported meanwhile."""
        self.program.tell(False)
        self.samples.clear()
        while "paused" not in (line := self.program.hear()):
            self.samples.append((line["at"], line["steps"]))

    def rate(self, since: float, until: float) -> float:
        """Steps a second between the first and the last report of the period."""
        inside = [sample for sample in self.samples if since <= sample[0] <= until]
        if len(inside) < 2:
            return 0.0
        (begun, before), (ended, after) = inside[0], inside[-1]
        return (after - before) / (ended - begun)


def busy(tenants: Sequence[Tenant], seconds: float) -> tuple[float, float]:
    """All at once; the period without its first second, in which they begin."""
    for tenant in tenants:
        tenant.begin()
    since = time.monotonic() + SETTLE
    until = since + seconds
    time.sleep(until - time.monotonic())
    for tenant in tenants:
        tenant.pause()
    return since, until


def row(
    tenants: Sequence[Tenant], solo: Sequence[float], limits: Sequence[int], seconds: float
) -> dict[str, Any]:
    pace = machine.pace()
    since, until = busy(tenants, seconds)
    parts = [100 * t.rate(since, until) / alone for t, alone in zip(tenants, solo, strict=True)]
    whole = sum(parts) or 1.0
    errors = [part - limit for part, limit in zip(parts, limits, strict=True)]
    return {
        "seconds": seconds,
        "part_of_solo": [round(part, 2) for part in parts],
        "error_points": [round(error, 2) for error in errors],
        "part_of_both": [round(100 * part / whole, 2) for part in parts],
        "within": all(abs(error) <= GOAL_POINTS for error in errors),
        "spread": spread(tenants, solo, since, until),
        "pace": pace.end(),
        "samples": [_thinned(tenant.samples, since) for tenant in tenants],
    }


def spread(
    tenants: Sequence[Tenant], solo: Sequence[float], since: float, until: float
) -> list[dict[str, float]]:
    """The least and the largest part of solo in pieces of ten seconds."""
    found = []
    for tenant, alone in zip(tenants, solo, strict=True):
        count = max(1, int((until - since) / BUCKET))
        size = (until - since) / count
        marks = [since + size * at for at in range(count + 1)]
        rates = [tenant.rate(*pair) for pair in pairwise(marks)]
        parts = [round(100 * rate / alone, 2) for rate in rates]
        found.append({"pieces": count, "least": min(parts), "largest": max(parts)})
    return found


def _thinned(samples: Sequence[Sample], since: float) -> list[list[float]]:
    """About one a second: seconds since the begin, steps."""
    kept: list[list[float]] = []
    for at, steps in samples:
        if not kept or at - since >= kept[-1][0] + 1:
            kept.append([round(at - since, 3), steps])
    return kept


@contextmanager
def programs(
    works: Sequence[str], env: Mapping[str, str], before: Sequence[Sequence[str]] = ((), ())
) -> Iterator[list[Tenant]]:
    with ExitStack() as stack:
        tenants = []
        for name, work, prefix in zip(("first", "second"), works, before, strict=True):
            program = Program("busy", [work], env, prefix)
            stack.callback(program.end)
            tenants.append(Tenant(name, program))
        for tenant in tenants:
            while "ready" not in tenant.program.hear():
                pass
        yield tenants


def alone(tenants: Sequence[Tenant]) -> list[float]:
    """Steps a second of each while the other pauses."""
    found = []
    for tenant in tenants:
        since, until = busy([tenant], SOLO)
        found.append(tenant.rate(since, until))
    print(f"  alone: {found} steps/s", flush=True)
    return found


def shared(here: Site, base: str, seconds: float, given: "Given") -> dict[str, Any]:
    """The same programs under shares of one mechanism."""
    names = ("first", "second")
    what = ["-m", given.memory, "--mechanism", base]
    prefixes = [
        here.run(name, "--tenant", name, *what, "-c", str(limit))
        for name, limit in zip(names, given.limits, strict=True)
    ]
    with programs(given.works, here.environment, prefixes) as tenants:
        found = row(tenants, given.solo, given.limits, seconds)
        shares = here.json("ps").get("items", ())
    stacks = {share["name"]: share["mechanism"] for share in shares}
    return {"with": "gpushare", "base": base, "mechanisms": stacks, **found}


def bare(base: str, given: "Given") -> dict[str, Any]:
    """Without gpushare: what the mechanism alone gives two programs."""
    with ExitStack() as stack:
        env = stack.enter_context(mps.daemon()) if base == "mps" else {}
        tenants = stack.enter_context(programs(given.works, env))
        return {"with": "nothing", "base": base, **row(tenants, given.solo, given.limits, BARE)}


@dataclass
class Given:
    works: list[str]
    limits: list[int]
    memory: str
    solo: list[float] = field(default_factory=list)


def measure(options: argparse.Namespace, body: dict[str, Any]) -> Iterator[None]:
    """Fills `body`; each step leaves it worth saving."""
    machine.begin()
    given = Given(options.works, options.limits, options.memory)
    body |= {"goal_points": GOAL_POINTS, "works": given.works, "limits": given.limits, "rows": []}
    with programs(given.works, {}) as tenants:
        given.solo = alone(tenants)
        found = row(tenants, given.solo, given.limits, BARE)
        body["solo_steps_per_s"] = given.solo
        body["rows"].append({"with": "nothing", "base": "timeslice", **found})
        yield
    for base, seconds in options.runs:
        if base == "mps":
            body["rows"].append(bare(base, given))
            yield
        with site() as here:
            first, second = given.limits
            here.apply(POLICY.format(user=getpass.getuser(), first=first, second=second))
            body["rows"].append(shared(here, base, seconds, given))
            yield
    with programs(given.works, {}) as tenants:
        body["solo_after_steps_per_s"] = alone(tenants)
    yield


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.tenants", description=__doc__)
    parser.add_argument("--works", type=lambda text: text.split(","), default=["gpt", "gpt"])
    parser.add_argument("--limits", type=_numbers, default=[60, 40])
    parser.add_argument("--runs", type=_runs, default=_runs(",".join(RUNS)))
    parser.add_argument("--memory", default="40GiB", help="of each share")
    parser.add_argument("--into", default="tenants", help="name of the result")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _runs(text: str) -> list[tuple[str, float]]:
    """`timeslice:300,mps:60`: a mechanism and the seconds under it."""
    pairs = (each.partition(":") for each in text.split(","))
    return [(base, float(seconds)) for base, _, seconds in pairs]


def main() -> int:
    options, body = arguments(), dict[str, Any]()
    for _ in measure(options, body):
        for made in body["rows"][-1:]:
            print({key: value for key, value in made.items() if key != "samples"}, flush=True)
        machine.save(options.into, body, "benchmarks.gpu.tenants")
    shares = [found for found in body["rows"] if found["with"] == "gpushare"]
    return 0 if all(found["within"] for found in shares) else 1


if __name__ == "__main__":
    sys.exit(main())
