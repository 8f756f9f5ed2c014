# SPDX-License-Identifier: Apache-2.0
"""Off the GPU and back: `python -m benchmarks.gpu.suspend`.

A program with 16 GiB by the guard, warm and cold, and by the driver's checkpoint; then a training
job that is suspended at random a hundred times and must not differ in a bit from one that was not.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.gpu import machine, mps
from benchmarks.gpu.checkpoint import Checkpoint
from benchmarks.gpu.driver import CudaError
from benchmarks.gpu.mover import GIB, Mover, movable
from benchmarks.gpu.program import Program
from benchmarks.gpu.swap import Swap, pool

EXTRA = 3 * GIB  # of a share's limit beyond what its program asks for
PARTS = ("moves", "cycles", "checkpoint")


@contextmanager
def program(module: str, gib: int, env: Mapping[str, str]) -> Iterator[Program]:
    made = Program(module, [str(gib)], env)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def mechanism(base: str) -> Iterator[dict[str, str]]:
    if base == "mps" and not machine.smoke():
        with mps.daemon() as places:
            yield places
    else:
        yield {}


@contextmanager
def host_memory(size: int) -> Iterator[Swap | None]:
    if machine.smoke():
        yield None
        return
    with pool(size) as made:
        yield made


def say(words: object) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def there_and_back(mover: Mover) -> dict[str, Any]:
    mover.ask_out()
    out = mover.out()
    mover.ask_in()
    back = mover.back()
    say(f"  out {out.own_s:.3f} s of {out.wall_s:.3f}, in {back.own_s:.3f} s of {back.wall_s:.3f}")
    return {"out": out.row(), "in": back.row()}


def medians(moves: list[dict[str, Any]]) -> dict[str, float]:
    return {
        f"{way}_{unit}": statistics.median(move[way][unit] for move in moves)
        for way in ("out", "in")
        for unit in ("own_s", "wall_s")
    }


def warm(held: Program, mover: Mover, times: int) -> dict[str, Any]:
    """Host memory is registered ahead, and the program ran in between."""
    ahead, moves = mover.ready_ahead(), []
    for _ in range(times):
        held.ask("touch")
        moves.append(there_and_back(mover))
    clean = there_and_back(mover)
    return {"registered_ahead": ahead, "moves": moves, "median": medians(moves), "clean": clean}


def moves(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """Two programs: one whose host memory is made ready ahead, one without (`cold`)."""
    limit, found = options.gib * GIB + EXTRA, {}
    with ExitStack() as stack:
        enter = stack.enter_context
        pipe = enter(mechanism(base))
        swap = enter(host_memory(options.gib * GIB + EXTRA))
        if swap:
            found["pool"] = {"huge_pages": swap.huge, "touch_s": swap.touch()}
            say(f"  pool {found['pool']}")
        movers = {
            "warm": enter(movable(limit, swap)),
            "cold": enter(movable(limit, None, ahead=False)),
        }
        held = {}
        for name, mover in movers.items():
            held[name] = enter(program("resident", options.gib, {**pipe, **mover.edits}))
            mover.attach(held[name].pid)
        before = {name: each.hear()["ready"] for name, each in held.items()}
        say(f"{base}, cold")
        found["cold"] = there_and_back(movers["cold"])
        found["second"] = there_and_back(movers["cold"])
        say(f"{base}, warm")
        found["warm"] = warm(held["warm"], movers["warm"], options.times)
        after = {name: each.ask("digest") for name, each in held.items()}
    return {**found, "bit_exact": after == before}


def checkpoints(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """The same program without the guard."""
    if machine.smoke():
        return {}
    rows = []
    with mechanism(base) as pipe, program("resident", options.gib, pipe) as held:
        before = held.hear()["ready"]
        driver = Checkpoint(held.pid)
        for _ in range(options.checkpoints):
            try:
                rows.append({"out_s": driver.out(), "in_s": driver.back()})
            except CudaError as error:
                return {"refused": str(error), "moves": rows}
            say(f"  driver's checkpoint, {base}: {rows[-1]}")
        exact = held.ask("digest") == before
    return {"moves": rows, "bit_exact": exact}


def disturb(mover: Mover, times: int) -> list[dict[str, Any]]:
    chance, rows = random.Random(1), []
    for _ in range(times):
        time.sleep(chance.uniform(0.0, 0.08))
        mover.ask_out()
        out = mover.out()
        time.sleep(chance.uniform(0.0, 0.03))
        mover.ask_in()
        rows.append({"out": out.row(), "in": mover.back().row()})
    return rows


def cycles(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """The other job repeats as many steps without the guard."""
    with ExitStack() as stack:
        enter, gib = stack.enter_context, options.ballast
        pipe = enter(mechanism(base))
        swap = enter(host_memory(gib * GIB + 2 * EXTRA))
        mover = enter(movable(gib * GIB + 2 * EXTRA, swap))
        job = enter(program("losses", gib, {**pipe, **mover.edits}))
        other = enter(program("losses", gib, pipe))
        mover.attach(job.pid)
        ballast = [each.hear()["ready"] for each in (job, other)]
        job.tell({})
        rows = disturb(mover, options.cycles)
        suspended = job.ask("end")
        undisturbed = other.ask({"until": suspended["steps"]}, 300)
    say(f"  {base}: {suspended} after {len(rows)} cycles; undisturbed {undisturbed}")
    return {
        "cycles": len(rows),
        "median": medians(rows),
        "suspended": suspended,
        "undisturbed": undisturbed,
        "bit_exact": suspended == undisturbed and suspended["ballast"] == ballast[0],
    }


RUN: dict[str, Callable[[str, argparse.Namespace], dict[str, Any]]] = {
    "moves": moves,
    "cycles": cycles,
    "checkpoint": checkpoints,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.suspend")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--bases", default="timeslice,mps")
    parser.add_argument("--gib", type=int, default=16)
    parser.add_argument("--times", type=int, default=5, help="warm moves")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--ballast", type=int, default=2, help="GiB next to the training job")
    parser.add_argument("--checkpoints", type=int, default=1)
    return parser.parse_args()


def one(part: str, base: str, options: argparse.Namespace) -> dict[str, Any]:
    """A part that fails does not take the others with it."""
    say(f"{part}, {base}")
    try:
        return RUN[part](base, options)
    except (RuntimeError, OSError) as error:
        say(f"  failed: {error}")
        return {"failed": str(error)}


def main() -> int:
    options, failed = arguments(), 0
    for part in options.parts.split(","):
        for base in options.bases.split(","):
            found = one(part, base, options)
            failed += "failed" in found
            whole = machine.load("suspend") or {"gib": options.gib}
            whole.setdefault(base, {})[part] = {**found, **machine.stamp()}
            machine.save("suspend", whole, "benchmarks.gpu.suspend")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
