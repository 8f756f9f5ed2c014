# SPDX-License-Identifier: Apache-2.0
"""A training job whose every bit can be repeated: `losses GIB` holds that much ballast as well.

Trains from the first line of standard input on: `{"until": N}` so many steps, `{}` until the next
line. Then it tells the checksums of all losses, of the weights and of the ballast.
"""

import json
import os
import select
import sys
import zlib

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .colocation.blocks import SMOKE, Shape, Transformer
from .digest import digest, filled
from .job import job_options

SMALL = Shape(layers=4, width=512, heads=8, hidden=2048, words=4096, tokens=256, batch=8)
LOG_EVERY = 10


class Training:
    def __init__(self, device: str, smoke: bool) -> None:
        torch.manual_seed(3)
        torch.use_deterministic_algorithms(mode=True)
        self.shape, self.device = SMOKE if smoke else SMALL, device
        self.model = Transformer(self.shape, head=True).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.chance = torch.Generator(device=device).manual_seed(4)
        self.losses: list[torch.Tensor] = []

    def step(self) -> None:
        size = (self.shape.batch, self.shape.tokens)
        tokens = torch.randint(0, self.shape.words, size, device=self.device, generator=self.chance)
        self.optimizer.zero_grad(set_to_none=True)
        with sdpa_kernel(SDPBackend.MATH):
            logits = self.model(tokens).flatten(0, 1)
            loss = functional.cross_entropy(logits, tokens.roll(-1, 1).flatten())
            loss.backward()
        self.optimizer.step()
        self.losses.append(loss.detach())
        if len(self.losses) % LOG_EVERY == 0:
            loss.item()

    def report(self) -> dict[str, int | float]:
        weights = torch.cat([each.detach().flatten() for each in self.model.parameters()])
        losses = torch.stack(self.losses).cpu()
        return {
            "steps": len(self.losses),
            "losses": zlib.crc32(losses.numpy().tobytes()),
            "weights": zlib.crc32(weights.cpu().numpy().tobytes()),
            "last_loss": float(losses[-1]),
        }


def more(wish: dict[str, int], done: int) -> bool:
    if "until" in wish:
        return done < wish["until"]
    return not select.select([sys.stdin], [], [], 0)[0]


def main() -> None:
    options = job_options()
    ballast = filled((1 << 20) if options.smoke else 1 << 30, options.gib, options.device)
    training = Training(options.device, options.smoke)
    before = digest(ballast)
    print(json.dumps({"ready": before}), flush=True)
    wish = json.loads(sys.stdin.readline())
    while more(wish, len(training.losses)):
        training.step()
    found = {**training.report(), "ballast": digest(ballast)}
    print(json.dumps(found), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
