# SPDX-License-Identifier: Apache-2.0
"""A program that keeps the GPU busy when asked to: `busy WORK [--gib N]`.

WORK is `gpt` or `gemm` (PyTorch), or `spin`, a kernel of one thread that needs the driver alone:
on a GPU its work is a fixed number of instructions, on the simulated one a fixed time.
Commands: `true` begins, and a line with the steps so far follows every quarter of a second;
`false` ends that, and `"digest"` sums the `N` GiB that it holds. Times are of CLOCK_MONOTONIC,
which all processes of a machine share.
"""

import argparse
import contextlib
import ctypes
import importlib
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ctypes import byref, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from .driver import Cuda

BEGUN = time.monotonic()
GIB = 1 << 30
PIECE = 256 << 20
REPORT = 0.25
COUNT = 1_000_000  # nanoseconds of a simulated kernel; rounds of a loop on a GPU, some milliseconds
SPIN = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry spin(.param .u64 count)
{
    .reg .pred %more;
    .reg .u64 %left;
    ld.param.u64 %left, [count];
again:
    sub.u64 %left, %left, 1;
    setp.ne.u64 %more, %left, 0;
    @%more bra again;
    ret;
}
"""
WORKS = ("spin", "gemm", "gpt")
Step = Callable[[], None]


@contextmanager
def spin(cuda: Cuda | None) -> Iterator[Step]:
    here = cuda or Cuda()
    module, kernel = c_void_p(), c_void_p()
    here("cuModuleLoadData", byref(module), ctypes.c_char_p(SPIN))
    here("cuModuleGetFunction", byref(kernel), module, ctypes.c_char_p(b"spin"))
    count = c_uint64(COUNT)
    parameters = (c_void_p * 1)(ctypes.addressof(count))

    def step() -> None:
        here("cuLaunchKernel", kernel, 1, 1, 1, 1, 1, 1, 0, None, parameters, None)
        here("cuCtxSynchronize")

    yield step


def steps(work: str, cuda: Cuda | None) -> AbstractContextManager[Step]:
    """What does one step; PyTorch is imported only for works that need it."""
    if work == "spin":
        return spin(cuda)
    works = importlib.import_module("benchmarks.gpu.busy_torch")
    return getattr(works, work)()


class Held:
    """Memory, each piece filled with its own number."""

    def __init__(self, cuda: Cuda, gib: int) -> None:
        self._cuda = cuda
        self.first = 0.0  # when the first piece was there
        self._pieces = [self._piece(number) for number in range(gib * GIB // PIECE)]
        cuda("cuCtxSynchronize")

    def _piece(self, number: int) -> int:
        pointer = self._cuda.alloc(PIECE)
        self.first = self.first or time.monotonic()
        words = c_size_t(PIECE // 4)
        self._cuda("cuMemsetD32_v2", c_uint64(pointer), c_uint(number + 1), words)
        return pointer

    def digest(self) -> int:
        """Of the first and the last word of each piece."""
        word, total = c_uint(), 0
        for pointer in self._pieces:
            for at in (pointer, pointer + PIECE - 4):
                self._cuda("cuMemcpyDtoH_v2", byref(word), c_uint64(at), c_size_t(4))
                total = (total * 31 + word.value) % (1 << 53)
        return total


def say(words: object) -> None:
    print(json.dumps(words), flush=True)


def heard(lines: "queue.Queue[Any]", *, wait: bool) -> Any:
    """The next command; None: there is none yet."""
    with contextlib.suppress(queue.Empty):
        return lines.get(block=wait)
    return None


def work(step: Step, lines: "queue.Queue[Any]") -> Any:
    """Steps until something is asked; that."""
    steps, due = 0, time.monotonic()
    while (wish := heard(lines, wait=False)) in (None, True):
        step()
        steps += 1
        if time.monotonic() >= due:
            due = time.monotonic() + REPORT
            say({"at": time.monotonic(), "steps": steps})
    return wish


def obey(step: Step, held: Held | None, lines: "queue.Queue[Any]") -> None:
    wish = heard(lines, wait=True)
    while wish != "end":
        if wish is True:
            wish = work(step, lines)
            continue
        say({"digest": held.digest() if held else 0} if wish == "digest" else {"paused": True})
        wish = heard(lines, wait=True)


def listen(lines: "queue.Queue[Any]") -> None:
    for line in sys.stdin:
        lines.put(json.loads(line))
    lines.put("end")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--gib", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    lines: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    cuda = Cuda() if options.work == "spin" or options.gib else None
    context = time.monotonic()
    held = Held(cuda, options.gib) if cuda and options.gib else None
    with steps(options.work, cuda) as step:
        for _ in range(3):
            step()
        times = {"begun": BEGUN, "context": context, "first": held.first if held else context}
        say({"ready": times, "at": time.monotonic(), "digest": held.digest() if held else 0})
        obey(step, held, lines)


if __name__ == "__main__":
    main()
