# SPDX-License-Identifier: Apache-2.0
"""Fill a share from inside a framework: `frameworks.py NAME LIMIT` prints what it could take.

`held`: bytes of the tensors that were given. `reserved`: what the framework's allocator took from
the driver for them. `total`: the memory the framework thinks the GPU has.
"""

# ruff: noqa: PLC0415 (a framework is imported only where it is measured)

import json
import sys
import time
from collections.abc import Callable
from typing import Any

MIB = 1 << 20


def fill(
    take: Callable[[int], Any],
    first: int,
    least: int,
    refused: Callable[[Exception], bool],
) -> list[Any]:
    """Take blocks from `first` bytes down to `least` until they are refused; what was given."""
    held: list[Any] = []
    chunk = first
    while chunk >= least:
        try:
            held.append(take(chunk))
        except Exception as error:
            if not refused(error):
                raise
            chunk //= 2
    time.sleep(0.2)  # for whoever watches the card
    return held


def torch_fill(limit: int) -> dict[str, Any]:
    import torch

    def take(size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device="cuda")

    def refused(error: Exception) -> bool:
        return isinstance(error, torch.OutOfMemoryError)

    # From 10 MiB on torch takes what is asked, in whole pages; below 1 MiB it takes pages of 2 MiB.
    held = fill(take, limit + 2 * MIB, 10 * MIB, refused)
    held += fill(take, MIB // 2, MIB // 2, refused)
    return {
        "held": sum(tensor.numel() for tensor in held),
        "reserved": torch.cuda.memory_reserved(),
        "total": torch.cuda.get_device_properties(0).total_memory,
    }


def cupy_fill(limit: int) -> dict[str, Any]:
    import cupy

    def refused(error: Exception) -> bool:
        return isinstance(error, cupy.cuda.memory.OutOfMemoryError)

    held = fill(cupy.cuda.alloc, limit + 2 * MIB, 2 * MIB, refused)
    return {
        "held": sum(block.mem.size for block in held),
        "reserved": cupy.get_default_memory_pool().total_bytes(),
        "total": cupy.cuda.runtime.memGetInfo()[1],
    }


def cupy_async_fill(limit: int) -> dict[str, Any]:
    import cupy

    cupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)
    return cupy_fill(limit) | {"reserved": None}


def jax_fill(limit: int) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    def take(size: int) -> jax.Array:
        return jnp.zeros(size, dtype=jnp.uint8).block_until_ready()

    def refused(error: Exception) -> bool:
        return "RESOURCE_EXHAUSTED" in str(error)

    # XLA waits ten seconds for memory before it refuses: two refusals are enough.
    held = fill(take, limit // 16, limit // 32, refused)
    seen = jax.devices()[0].memory_stats() or {}
    return {
        "held": sum(array.nbytes for array in held),
        "reserved": seen.get("pool_bytes"),
        "total": seen.get("bytes_limit"),
    }


FILLS = {"torch": torch_fill, "cupy": cupy_fill, "cupy-async": cupy_async_fill, "jax": jax_fill}


def main() -> None:
    name, limit = sys.argv[1], int(sys.argv[2])
    print(json.dumps(FILLS[name](limit)))


if __name__ == "__main__":
    main()
