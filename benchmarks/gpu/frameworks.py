# SPDX-License-Identifier: Apache-2.0
"""Fill a share from inside a framework: `frameworks.py NAME LIMIT` prints what it could take.

With a limit of 0 it takes one array of a page and no more. `held`: bytes of the arrays that were
given. `reserved`: what the framework's allocator took from the driver for them. `total`: the memory
the framework thinks the GPU has.
"""

# ruff: noqa: PLC0415 (a framework is imported only where it is measured)
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True)
class Framework:
    """`ladder`: sizes from which and down to which blocks are taken, by the share's limit."""

    take: Callable[[int], Any]
    refused: Callable[[Exception], bool]
    size: Callable[[Any], int]
    ladder: Callable[[int], list[tuple[int, int]]]
    allocator: Callable[[], dict[str, int | None]]


def fill(framework: Framework, first: int, least: int) -> list[Any]:
    """Take blocks from `first` bytes down to `least` until they are refused; what was given."""
    held: list[Any] = []
    chunk = first
    while chunk >= least:
        try:
            held.append(framework.take(chunk))
        except Exception as error:
            if not framework.refused(error):
                raise
            chunk //= 2
    return held


def torch() -> Framework:
    import torch

    return Framework(
        take=lambda size: torch.empty(size, dtype=torch.uint8, device="cuda"),
        refused=lambda error: isinstance(error, torch.OutOfMemoryError),
        size=lambda tensor: int(tensor.numel()),
        # From 10 MiB on it takes what is asked, in whole pages; below 1 MiB it takes single pages.
        ladder=lambda limit: [(limit + 2 * MIB, 10 * MIB), (MIB // 2, MIB // 2)],
        allocator=lambda: {
            "reserved": torch.cuda.memory_reserved(),
            "total": torch.cuda.get_device_properties(0).total_memory,
        },
    )


def cupy_default() -> Framework:
    import cupy

    return Framework(
        take=cupy.cuda.alloc,
        refused=lambda error: isinstance(error, cupy.cuda.memory.OutOfMemoryError),
        size=lambda block: int(block.mem.size),
        ladder=lambda limit: [(limit + 2 * MIB, 2 * MIB)],
        allocator=lambda: {
            "reserved": cupy.get_default_memory_pool().total_bytes() or None,
            "total": cupy.cuda.runtime.memGetInfo()[1],
        },
    )


def cupy_async() -> Framework:
    import cupy

    cupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)
    return cupy_default()


def jax() -> Framework:
    import jax
    import jax.numpy as jnp

    def allocator() -> dict[str, int | None]:
        seen = jax.devices()[0].memory_stats() or {}
        return {"reserved": seen.get("pool_bytes"), "total": seen.get("bytes_limit")}

    return Framework(
        take=lambda size: jnp.zeros(size, dtype=jnp.uint8).block_until_ready(),
        refused=lambda error: "RESOURCE_EXHAUSTED" in str(error),
        size=lambda array: int(array.nbytes),
        # XLA waits ten seconds for memory before it refuses: two refusals are enough.
        ladder=lambda limit: [(limit // 16, limit // 32)],
        allocator=allocator,
    )


FRAMEWORKS = {"torch": torch, "cupy": cupy_default, "cupy-async": cupy_async, "jax": jax}


def main() -> None:
    name, limit = sys.argv[1], int(sys.argv[2])
    framework = FRAMEWORKS[name]()
    held: list[Any] = []
    for first, least in framework.ladder(limit) if limit else ():
        held += fill(framework, first, least)
    if not limit:
        held = [framework.take(2 * MIB)]
    time.sleep(0.2)  # for the process that watches the GPU
    taken = sum(framework.size(block) for block in held)
    print(json.dumps({"held": taken, **framework.allocator()}))


if __name__ == "__main__":
    main()
