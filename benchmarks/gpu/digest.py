# SPDX-License-Identifier: Apache-2.0
"""Checksums of GPU memory, computed where it lies."""

import zlib
from collections.abc import Iterable

import torch

SIDE = 1024


def digest(blocks: Iterable[torch.Tensor]) -> int:
    """Of row and column sums: it sees a changed bit and two pieces that changed places."""
    found = 0
    for block in blocks:
        words = block.reshape(-1).view(torch.int64)
        for sums in (words.view(SIDE, -1).sum(1), words.view(-1, SIDE).sum(0)):
            found = zlib.crc32(sums.cpu().numpy().tobytes(), found)
    return found


def filled(size: int, count: int, device: str) -> list[torch.Tensor]:
    """`count` blocks of `size` bytes with different contents."""
    made = torch.Generator(device=device).manual_seed(7)
    words = size // 8
    return [
        torch.randint(-(1 << 62), 1 << 62, (words,), device=device, generator=made)
        for _ in range(count)
    ]
