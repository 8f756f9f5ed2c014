# SPDX-License-Identifier: Apache-2.0
"""The latency-critical services: one request is copied in, computed, copied out."""

import zlib
from collections.abc import Callable

import torch
from torchvision.models import resnet18, resnet50

from .blocks import BERT, DECODER, SMOKE, Decoder, Transformer
from .engine import Engine

INPUTS = 8  # different requests, in turn

Work = Callable[[], torch.Tensor]


class Service:
    """Answers request number `i`; the pinned copies are part of it."""

    def __init__(
        self, engine: Engine, work: Work, place: torch.Tensor, inputs: list[torch.Tensor]
    ) -> None:
        self._engine, self._work, self._place = engine, work, place
        self._inputs = [engine.pinned(each) for each in inputs]
        self._answer = engine.pinned(torch.empty_like(work(), device="cpu"))
        engine.wait()
        self._expected: list[torch.Tensor] = []

    def serve(self, i: int) -> None:
        self._place.copy_(self._inputs[i % INPUTS], non_blocking=True)
        self._answer.copy_(self._work(), non_blocking=True)
        self._engine.wait()

    def expect(self) -> None:
        """The answers without a neighbour, once everything is built."""
        self._expected = [self._kept(i) for i in range(INPUTS)]

    def _kept(self, i: int) -> torch.Tensor:
        self.serve(i)
        return self._answer.clone()

    def right(self, i: int) -> bool:
        """Whether the newest answer, to request `i`, is what it was.

        Not bit by bit: cuBLAS splits sums, and adds up the parts as they come.
        """
        expected = self._expected[i % INPUTS]
        scale = float(expected.float().abs().max())
        return torch.allclose(
            self._answer.float(), expected.float(), rtol=0.0, atol=0.02 * scale, equal_nan=True
        )

    def difference(self, i: int) -> str:
        """What is wrong with an answer, in words."""
        self.serve(i)
        one, other = self._answer.float(), self._expected[i % INPUTS].float()
        far = float((one - other).abs().max())
        return f"differs by {far} where {float(other.abs().max())} is the most"

    @property
    def checksum(self) -> int:
        """Of what each answer is largest in: the same in every process."""
        places = [int(each.float().argmax()) for each in self._expected]
        return zlib.crc32(repr(places).encode())


def _tokens(words: int, shape: tuple[int, int]) -> list[torch.Tensor]:
    return [torch.randint(0, words, shape) for _ in range(INPUTS)]


def bert(engine: Engine, smoke: bool) -> Service:
    shape = SMOKE if smoke else BERT
    with engine.building(engine.half()):
        model = Transformer(shape, head=False).eval()
    inputs = _tokens(shape.words, (shape.batch, shape.tokens))
    place = inputs[0].to(engine.device, copy=True)

    def work() -> torch.Tensor:
        seen = model(place)
        return seen[:, 0].contiguous()  # what a classifier would look at

    return Service(engine, engine.graphed(work), place, inputs)


def llm(engine: Engine, smoke: bool) -> Service:
    shape = SMOKE if smoke else DECODER
    with engine.building(engine.half()):
        model = Decoder(shape).eval()
    inputs = _tokens(shape.words, (shape.batch, 1))
    place = inputs[0].to(engine.device, copy=True)
    return Service(engine, engine.graphed(lambda: model(place)), place, inputs)


def resnet(engine: Engine, smoke: bool) -> Service:
    """Launched kernel by kernel, as most services are."""
    with engine.building(engine.half()):
        model = (resnet18 if smoke else resnet50)().eval()
    model = model.to(memory_format=torch.channels_last)
    size = (1, 3, 32, 32) if smoke else (4, 3, 224, 224)
    inputs = [torch.randn(size).to(engine.half()) for _ in range(INPUTS)]
    inputs = [each.to(memory_format=torch.channels_last) for each in inputs]
    place = inputs[0].to(engine.device, copy=True)
    return Service(engine, lambda: model(place), place, inputs)


SERVICES = {"bert": bert, "resnet50": resnet, "llm": llm}
