# SPDX-License-Identifier: Apache-2.0
"""Off the GPU and back, by the daemon: `python -m benchmarks.gpu.suspend`.

A program with 16 GiB under `gpushare run`, suspended and resumed through the API, with host memory
prepared ahead (warm) and without (cold); by the driver's checkpoint, without the guard; then a
training job that is suspended at random a hundred times and must not differ in a bit from one that
was not.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu import machine, mps
from benchmarks.gpu.checkpoint import Checkpoint
from benchmarks.gpu.driver import CudaError
from benchmarks.gpu.program import Program
from benchmarks.gpu.served import Site, site

from gpushare.guard import Region, RegionSlot

GIB = 1 << 30
EXTRA = 3  # GiB of a share's limit beyond what its program asks for
PARTS = ("moves", "cycles", "checkpoint")
NAME = "moved"
READY = 60.0  # seconds for host memory to be prepared
MODULE = "benchmarks.gpu.suspend"
Move = dict[str, float | None]


def say(words: object) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


@contextmanager
def program(
    module: str, gib: int, env: Mapping[str, str], before: Sequence[str] = ()
) -> Iterator[Program]:
    made = Program(module, [str(gib)], env, before)
    try:
        yield made
    finally:
        made.end()


@dataclass
class Moved:
    """A program in a share that the daemon moves."""

    here: Site
    held: Program

    def slots(self) -> Sequence[RegionSlot]:
        share = self.here.client.show(NAME).id
        return Region(self.here.regions / share).snapshot().slots

    def out(self) -> Move:
        return self._timed(self.here.client.suspend, "out_ns")

    def back(self) -> Move:
        return self._timed(self.here.client.resume, "in_ns")

    def _timed(self, act: Callable[[str], object], own: str) -> Move:
        """`wall_s`: from the call to its answer; `own_s`: what the guard took of that."""
        begun = time.monotonic()
        act(NAME)
        wall = time.monotonic() - begun
        slots = self.slots()
        took = max((getattr(slot, own) for slot in slots), default=0) / 1e9
        moved = sum(slot.moved for slot in slots)
        rate = moved / GIB / took if took else None
        return {"wall_s": wall, "own_s": took, "moved": moved, "gib_per_s": rate}

    def ready_ahead(self) -> bool:
        """Waits until host memory is registered for all that can move."""
        end = time.monotonic() + READY
        while time.monotonic() < end:
            slots = self.slots()
            if slots and all(slot.movable and slot.host >= slot.movable for slot in slots):
                return True
            time.sleep(0.1)
        return False


@contextmanager
def shared(module: str, gib: int, base: str, *, ahead: bool) -> Iterator[Moved]:
    """The program in a share of one mechanism; `ahead`: host memory is prepared for it."""
    limit = f"{gib + EXTRA}GiB"
    settings = {"GPUSHARE_SWAP_MEMORY": limit}
    if ahead:
        settings["GPUSHARE_SWAP_AHEAD"] = limit
    with site(settings) as here:
        before = here.run(NAME, "-m", limit, "--mechanism", base)
        with program(module, gib, here.environment, before) as held:
            yield Moved(here, held)


def there_and_back(moved: Moved) -> dict[str, Move]:
    found = {"out": moved.out(), "in": moved.back()}
    say(
        "  "
        + ", ".join(f"{way} {m['own_s']:.3f} of {m['wall_s']:.3f} s" for way, m in found.items())
    )
    return found


def medians(moves: list[dict[str, Move]]) -> dict[str, float]:
    return {
        f"{way}_{unit}": statistics.median(move[way][unit] or 0.0 for move in moves)
        for way in ("out", "in")
        for unit in ("own_s", "wall_s")
    }


def cold(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """As the daemon is without settings."""
    with shared("resident", options.gib, base, ahead=False) as moved:
        before = moved.held.hear()["ready"]
        say(f"{base}, cold")
        found = {"cold": there_and_back(moved), "second": there_and_back(moved)}
        return {**found, "bit_exact": moved.held.ask("digest") == before}


def warm(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """Host memory is prepared, and the program ran in between; `clean`: it did not."""
    with shared("resident", options.gib, base, ahead=True) as moved:
        before, ahead, moves = moved.held.hear()["ready"], moved.ready_ahead(), []
        say(f"{base}, warm" + ("" if ahead else ": host memory was not ready"))
        for _ in range(options.times):
            moved.held.ask("touch")
            moves.append(there_and_back(moved))
        clean = there_and_back(moved)
        exact = moved.held.ask("digest") == before
    found = {"registered_ahead": ahead, "moves": moves, "median": medians(moves), "clean": clean}
    return {"warm": found, "bit_exact": exact}


def moves(base: str, options: argparse.Namespace) -> dict[str, Any]:
    one, two = warm(base, options), cold(base, options)
    return {**two, **one, "bit_exact": one["bit_exact"] and two["bit_exact"]}


@contextmanager
def mechanism(base: str) -> Iterator[dict[str, str]]:
    if base == "mps":
        with mps.daemon() as places:
            yield places
    else:
        yield machine.selected()


def checkpoints(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """The same program without the guard."""
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


def disturb(moved: Moved, times: int) -> list[dict[str, Move]]:
    chance, rows = random.Random(1), []
    for _ in range(times):
        time.sleep(chance.uniform(0.0, 0.08))
        out = moved.out()
        time.sleep(chance.uniform(0.0, 0.03))
        rows.append({"out": out, "in": moved.back()})
    return rows


def cycles(base: str, options: argparse.Namespace) -> dict[str, Any]:
    """The other job repeats as many steps without the guard."""
    gib = options.ballast
    with shared("losses", gib, base, ahead=True) as moved:
        ballast = moved.held.hear()["ready"]
        moved.held.tell({})
        rows = disturb(moved, options.cycles)
        suspended = moved.held.ask("end")
    with program("losses", gib, machine.selected()) as other:
        other.hear()
        undisturbed = other.ask({"until": suspended["steps"]}, 300)
    say(f"  {base}: {suspended} after {len(rows)} cycles; undisturbed {undisturbed}")
    return {
        "cycles": len(rows),
        "median": medians(rows),
        "suspended": suspended,
        "undisturbed": undisturbed,
        "bit_exact": suspended == undisturbed and suspended["ballast"] == ballast,
        "moves": rows,
    }


RUN: dict[str, Callable[[str, argparse.Namespace], dict[str, Any]]] = {
    "moves": moves,
    "cycles": cycles,
    "checkpoint": checkpoints,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
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
    """Without a GPU there is nothing to move."""
    options, failed = arguments(), 0
    machine.begin()
    for part in options.parts.split(","):
        for base in options.bases.split(","):
            found = one(part, base, options)
            failed += "failed" in found
            whole = machine.load("suspend") or {"gib": options.gib}
            raw = found.pop("moves", None) if part == "cycles" else None
            whole.setdefault(base, {})[part] = {**found, **machine.stamp()}
            machine.save("suspend", whole, MODULE, samples=raw)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
