# SPDX-License-Identifier: Apache-2.0
"""Run a BERT-sized transformer with random weights on random tokens; prints what it saw."""

import argparse
import json
import time

import torch
from torch import nn

LAYERS, WIDTH, HEADS, TOKENS, WORDS = 12, 768, 12, 128, 30000


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layers(self.words(tokens))


def serve(model: Encoder, tokens: torch.Tensor, seconds: float) -> list[float]:
    """Milliseconds of each request until the time is up."""
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        model(tokens)
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return times


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    model = Encoder().cuda().half().eval()
    tokens = torch.randint(0, WORDS, (options.batch, TOKENS), device="cuda")
    serve(model, tokens, 1)
    times = sorted(serve(model, tokens, options.seconds))
    print(
        json.dumps(
            {
                "program": "transformer inference",
                "requests": len(times),
                "median_ms": times[len(times) // 2],
                "p99_ms": times[int(len(times) * 0.99)],
                "total_memory": torch.cuda.get_device_properties(0).total_memory,
                "mem_get_info": torch.cuda.mem_get_info(),
                "peak_reserved": torch.cuda.max_memory_reserved(),
            }
        )
    )


if __name__ == "__main__":
    main()
