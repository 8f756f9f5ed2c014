# SPDX-License-Identifier: Apache-2.0
"""A training job as large as a GPU: `heavy GIB`. Every step reads, multiplies and writes all of it.

Commands: `{"steps": N}`; the answer tells how long each step took, and a checksum of the memory.
"""

import json
import sys
import time
from typing import Any

import torch

from .digest import digest
from .job import job_options

SIDE, PER_GIB = 8192, 8  # a matrix of 128 MiB


class Heavy:
    def __init__(self, gib: int, device: str, smoke: bool) -> None:
        side, count = (128, gib) if smoke else (SIDE, gib * PER_GIB)
        self.real = device != "cpu"
        chance = torch.Generator(device=device).manual_seed(5)

        def matrix() -> torch.Tensor:
            made = torch.empty((side, side), device=device, dtype=torch.bfloat16)
            return made.normal_(generator=chance)

        self.mixer = matrix() / side**0.5
        self.product = torch.empty_like(self.mixer)
        self.weights = [matrix() for _ in range(count)]

    def step(self) -> float:
        """Seconds. One block of the weights after another moves a little."""
        begun = time.monotonic()
        for weight in self.weights:
            torch.mm(weight, self.mixer, out=self.product)
            weight.mul_(0.99).add_(self.product, alpha=0.01)
        if self.real:
            torch.cuda.synchronize()
        return time.monotonic() - begun

    def run(self, steps: int) -> dict[str, Any]:
        times = [self.step() for _ in range(steps)]
        return {"step_s": times, "ended": time.monotonic()}

    def digest(self) -> int:
        return digest(self.weights)


def main() -> None:
    options = job_options()
    job = Heavy(options.gib, options.device, options.smoke)
    job.step()
    print(json.dumps({"ready": job.digest()}), flush=True)
    for line in sys.stdin:
        wish = json.loads(line)
        found = job.run(wish["steps"]) if wish else {"digest": job.digest()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
