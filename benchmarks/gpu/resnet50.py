# SPDX-License-Identifier: Apache-2.0
"""Train torchvision's ResNet-50 on random pictures; prints what it saw and how fast it was."""

import argparse
import json
import time

import torch
from torchvision.models import resnet50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=0, help="0: run for --seconds")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--times", action="store_true", help="print milliseconds per step only")
    return parser.parse_args()


class Training:
    def __init__(self, batch: int) -> None:
        torch.backends.cudnn.benchmark = True
        self.model = resnet50().cuda().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        pictures = torch.randn(batch, 3, 224, 224, device="cuda")
        self.pictures = pictures.to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 1000, (batch,), device="cuda")

    def step(self) -> float:
        """One step; milliseconds."""
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(self.model(self.pictures), self.labels)
        loss.backward()
        self.optimizer.step()
        torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - start)


def main() -> None:
    options = arguments()
    training = Training(options.batch)
    for _ in range(10):
        training.step()
    times: list[float] = []
    end = time.monotonic() + options.seconds
    while len(times) < options.steps if options.steps else time.monotonic() < end:
        times.append(training.step())
    if options.times:
        print(*(f"{figure:.4f}" for figure in times))
        return
    print(
        json.dumps(
            {
                "program": "resnet50 training",
                "steps": len(times),
                "median_step_ms": sorted(times)[len(times) // 2],
                "total_memory": torch.cuda.get_device_properties(0).total_memory,
                "mem_get_info": torch.cuda.mem_get_info(),
                "peak_reserved": torch.cuda.max_memory_reserved(),
            }
        )
    )


if __name__ == "__main__":
    main()
