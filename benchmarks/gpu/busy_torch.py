# SPDX-License-Identifier: Apache-2.0
"""Works of `busy` that need PyTorch: a context in which calling what it gives does one step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from .colocation.blocks import GPT, Transformer
from .colocation.engine import Engine

SIDE, PRODUCTS = 8192, 8
Step = Callable[[], None]


@contextmanager
def gemm() -> Iterator[Step]:
    """Matrix products, 1.5 ms each on an H200."""
    left, right = (torch.randn((SIDE, SIDE), device="cuda").bfloat16() for _ in range(2))
    product = torch.empty_like(left)

    def step() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right, out=product)
        torch.cuda.synchronize()

    yield step


@contextmanager
def gpt() -> Iterator[Step]:
    """Training; the loss is read after each step."""
    engine = Engine("cuda")
    with engine.on_stream():
        with engine.building(engine.brain()):
            model = Transformer(GPT, head=True)
        tokens = torch.randint(0, GPT.words, (GPT.batch, GPT.tokens), device="cuda")
        aims = tokens.roll(-1, 1).flatten()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(model(tokens).flatten(0, 1).float(), aims)
            loss.backward()
            optimizer.step()
            loss.item()

        yield step
