# SPDX-License-Identifier: Apache-2.0
"""One of several processes in a share: `race_worker.py SEED SECONDS alloc|create|async|mixed`.

Says `ready`, waits for a line, allocates and frees at random, then takes all it can get, prints
how many bytes that was, and holds them until its standard input closes.
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.gpu.driver import OUT_OF_MEMORY, PAGE, Cuda, CudaError

Held = list[tuple[int, Callable[[int], None], int]]


Way = tuple[Callable[[int], int], Callable[[int], None]]


def ways(cuda: Cuda, name: str) -> list[Way]:
    known = {
        "alloc": (cuda.alloc, cuda.free),
        "create": (cuda.create, cuda.release),
        "async": (cuda.alloc_async, cuda.free_async),
    }
    return list(known.values()) if name == "mixed" else [known[name]]


def take(held: Held, get: Callable[[int], int], give: Callable[[int], None], size: int) -> bool:
    try:
        held.append((get(size), give, size))
    except CudaError as error:
        if error.code != OUT_OF_MEMORY:
            raise
        return False
    return True


def drop(held: Held, at: int) -> None:
    thing, give, _ = held.pop(at)
    give(thing)


def storm(open_to: list[Way], chance: random.Random, seconds: float) -> int:
    """How many requests were made."""
    held: Held = []
    requests = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        requests += 1
        get, give = chance.choice(open_to)
        full = not take(held, get, give, PAGE * chance.randint(1, 128))
        if held and (full or chance.random() < 0.4):
            drop(held, chance.randrange(len(held)))
    while held:
        drop(held, 0)
    return requests


def main() -> None:
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    cuda = Cuda()
    held: Held = []
    print("ready", flush=True)
    sys.stdin.readline()
    requests = storm(ways(cuda, sys.argv[3]), random.Random(seed), seconds)
    for size in (PAGE << shift for shift in range(7, -1, -1)):
        while take(held, cuda.create, cuda.release, size):
            pass
    print(requests, sum(size for _, _, size in held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
