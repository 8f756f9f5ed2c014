# SPDX-License-Identifier: Apache-2.0
"""PyTorch, CuPy and JAX inside a share of the real GPU: they see it, and go on after a refusal."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpushare.delivery.host import environment
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB
from support.machine import real
from support.mechanics import World
from support.shares import grant, share

pytestmark = pytest.mark.gpu
LIMIT = 4 * GIB
TORCH = """
import torch
assert torch.cuda.get_device_properties(0).total_memory == {limit}
small = torch.ones(1 << 20, device="cuda")
try:
    torch.empty({limit} + 1, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    print("refused", int(small.sum()) == 1 << 20)
torch.empty({limit} // 2, dtype=torch.uint8, device="cuda")
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    doubled = small * 2
graph.replay()
torch.cuda.synchronize()
print("works", int(doubled.sum()) == 2 << 20)
"""
CUPY = """
import cupy
assert cupy.cuda.runtime.memGetInfo()[1] == {limit}
try:
    cupy.empty({limit} + 1, dtype=cupy.uint8)
except cupy.cuda.memory.OutOfMemoryError:
    print("refused", True)
print("works", int(cupy.arange(10).sum()) == 45)
"""
JAX = """
import jax.numpy as jnp
try:
    jnp.zeros({limit} + 1, dtype=jnp.uint8).block_until_ready()
except Exception as error:
    print("refused", "RESOURCE_EXHAUSTED" in str(error))
print("works", int(jnp.arange(10).sum()) == 45)
"""


@pytest.fixture
def inside(short_path: Path) -> Iterator[dict[str, str]]:
    world = World(real(), short_path)
    one = share(
        grant(world.snapshot().gpus[0].uuid, LIMIT),
        by=(MechanismName.TIMESLICE, MechanismName.GUARD),
    )
    with world.granted(one) as edits:
        yield environment(edits, world.machine.environment)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("package", "source", "env"),
    [
        ("torch", TORCH, {}),
        ("torch", TORCH, {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
        ("torch", TORCH, {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}),
        ("cupy", CUPY, {}),
        ("jax", JAX, {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    ],
)
def test_a_framework_lives_in_its_share(
    inside: dict[str, str], package: str, source: str, env: dict[str, str]
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = real().python(source.format(limit=LIMIT), env={**inside, **env}, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused", "True", "works", "True"]
