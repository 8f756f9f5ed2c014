# SPDX-License-Identifier: Apache-2.0
"""What the models need of a device; the CPU replaces a GPU in smoke runs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

WARM_UPS = 3


class Replay:
    """A captured graph. It also holds what it was captured from: the graph reads those tensors."""

    def __init__(
        self, graph: torch.cuda.CUDAGraph, work: Callable[[], torch.Tensor], answer: torch.Tensor
    ) -> None:
        self._graph, self._work, self._answer = graph, work, answer

    def __call__(self) -> torch.Tensor:
        self._graph.replay()
        return self._answer


class Engine:
    """One device and one stream on it that is not the default one."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.real = device != "cpu"
        self.stream = torch.cuda.Stream() if self.real else None

    def on_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self.stream) if self.real else nullcontext()

    def wait(self) -> None:
        if self.stream is not None:
            self.stream.synchronize()

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.cpu().pin_memory() if self.real else tensor.cpu()

    def half(self) -> torch.dtype:
        """The CPU computes halves slowly, and some not at all."""
        return torch.float16 if self.real else torch.float32

    def brain(self) -> torch.dtype:
        return torch.bfloat16 if self.real else torch.float32

    @contextmanager
    def building(self, dtype: torch.dtype) -> Iterator[None]:
        """Models are made where they will be, as what they will be."""
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with self.device:
                yield
        finally:
            torch.set_default_dtype(usual)

    def graphed(self, work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """`work` as a CUDA graph; its tensor is always the same one."""
        if not self.real:
            return work
        for _ in range(WARM_UPS):
            work()
        self.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            answer = work()

        return Replay(graph, work, answer)


def steady(seed: int) -> None:
    """The same numbers and algorithms in every process: none is chosen by timing it."""
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(1)
