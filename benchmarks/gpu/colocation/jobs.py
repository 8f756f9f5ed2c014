# SPDX-License-Identifier: Apache-2.0
"""The best-effort jobs. Each step passes marks, which the GPU counts in memory that others see."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18, resnet50

from .blocks import DECODER, GPT, SMOKE, Decoder, Transformer
from .engine import Engine
from .page import HALF, Page

CHECK_EVERY = 50


class Marks:
    """A count that grows in stream order: a job's progress, without waiting for it."""

    def __init__(self, engine: Engine, page: Page) -> None:
        self._shown = torch.from_numpy(page.counted)[:1]
        self._device = engine.device
        self._count = self.zero()
        if engine.real:
            place = self._shown.data_ptr()
            code = int(torch.cuda.cudart().cudaHostRegister(place, HALF, 0))
            if code:
                raise RuntimeError(f"the page could not be registered: CUDA error {code}")

    def zero(self) -> torch.Tensor:
        return torch.zeros(1, dtype=torch.int64, device=self._device)

    def mark(self) -> None:
        self._count.add_(1)
        self._shown.copy_(self._count, non_blocking=True)

    def restart(self) -> None:
        self._count.zero_()
        self._shown.copy_(self._count)

    def at(self, module: nn.Module) -> None:
        """Two marks a step: behind the module, and where its backward pass begins."""

        def passed(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self.mark()
            output.register_hook(lambda _gradient: self.mark())

        module.register_forward_hook(passed)


class Job:
    """`step` queues one step and gives a number to log; `check` always gives the same."""

    def __init__(
        self,
        marks: Marks,
        per_step: int,
        step: Callable[[], torch.Tensor],
        check: Callable[[], torch.Tensor],
    ) -> None:
        self._marks, self.per_step, self._step, self._check = marks, per_step, step, check
        self._steps, self._first = 0, torch.empty(0)
        self.wrong = marks.zero()

    def warm(self) -> None:
        with torch.no_grad():
            self._first = self._check().clone()
        for _ in range(4):
            self._step()

    def begin(self) -> None:
        self._marks.restart()
        self.wrong.zero_()

    def step(self) -> tuple[torch.Tensor, bool]:
        """A number to log, and whether a check was made."""
        logged = self._step()
        self._marks.mark()
        self._steps += 1
        due = self._steps % CHECK_EVERY == 0
        if due:
            with torch.no_grad():
                self.wrong += (self._check() != self._first).any()
        return logged, due


def _trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]
) -> Callable[[], torch.Tensor]:
    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        return value.detach()

    model.train()
    return step


def resnet(engine: Engine, marks: Marks, smoke: bool) -> Job:
    """Many short kernels."""
    with engine.building(engine.brain()):
        model = (resnet18 if smoke else resnet50)()
    model = model.to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.float()  # as training in bf16 has it
    size = (2, 3, 32, 32) if smoke else (128, 3, 224, 224)
    pictures = torch.randn(size, device=engine.device, dtype=engine.brain())
    pictures = pictures.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, size[:1], device=engine.device)
    frozen = copy.deepcopy(model).eval()
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        marks.at(layer)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    step = _trained(
        model, optimizer, lambda: functional.cross_entropy(model(pictures).float(), labels)
    )
    return Job(marks, 9, step, lambda: frozen(pictures[:16]))


def gpt(engine: Engine, marks: Marks, smoke: bool) -> Job:
    """Long matrix products."""
    shape = SMOKE if smoke else GPT
    with engine.building(engine.brain()):
        model = Transformer(shape, head=True)
    tokens = torch.randint(0, shape.words, (shape.batch, shape.tokens), device=engine.device)
    aims = tokens.roll(-1, 1).flatten()
    frozen = copy.deepcopy(model).eval()
    places = [shape.layers * quarter // 4 for quarter in range(4)]
    for place in dict.fromkeys(places):
        marks.at(model.blocks[place])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=engine.real)

    def loss() -> torch.Tensor:
        return functional.cross_entropy(model(tokens).flatten(0, 1).float(), aims)

    step = _trained(model, optimizer, loss)
    return Job(marks, 2 * len(set(places)) + 1, step, lambda: frozen(tokens[:1]))


def gemm(engine: Engine, marks: Marks, smoke: bool) -> Job:
    """One kernel of 11 ms on an H200 after another: which cannot be interrupted."""
    side = 64 if smoke else 16384
    left, right = (
        torch.randn((side, side), device=engine.device, dtype=engine.brain()) for _ in range(2)
    )
    product = torch.empty_like(left)

    def multiply() -> torch.Tensor:
        torch.mm(left, right, out=product)
        return product

    def step() -> torch.Tensor:
        return multiply()[0, 0]

    return Job(marks, 1, step, lambda: multiply()[:256])


def decode(engine: Engine, marks: Marks, smoke: bool) -> Job:
    """The service `llm`, one step after another: CUDA graphs under a compute limit."""
    shape = SMOKE if smoke else DECODER
    with engine.building(engine.half()):
        model = Decoder(shape).eval().requires_grad_(requires_grad=False)
    token = torch.zeros((shape.batch, 1), dtype=torch.int64, device=engine.device)
    replay = engine.graphed(lambda: model(token))
    return Job(marks, 1, lambda: replay()[0, 0, 0], replay)


JOBS = {"resnet50": resnet, "gpt": gpt, "gemm": gemm, "decode": decode}
