# SPDX-License-Identifier: Apache-2.0
"""Transformers as small as they can be written, so that every kernel in them is an ordinary one."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int
    hidden: int
    words: int
    tokens: int
    batch: int


class Attention(nn.Module):
    def __init__(self, shape: Shape, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = shape.heads, causal
        self.inward = nn.Linear(shape.width, 3 * shape.width)
        self.outward = nn.Linear(shape.width, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        parts = self.inward(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.outward(seen.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, shape: Shape, causal: bool) -> None:
        super().__init__()
        self.attention = Attention(shape, causal)
        self.mlp = nn.Sequential(
            nn.Linear(shape.width, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, shape.width)
        )
        self.first, self.second = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class Transformer(nn.Module):
    """BERT-like without `head`, GPT-like with it (causal, then logits over the words)."""

    def __init__(self, shape: Shape, head: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(shape.words, shape.width)
        self.places = nn.Embedding(shape.tokens, shape.width)
        self.blocks = nn.ModuleList(Block(shape, causal=head) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.words, bias=False) if head else nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class DecoderLayer(nn.Module):
    """One token against a full cache; the newest place in it is written again each time."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.inward = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.outward = nn.Linear(shape.width, shape.width, bias=False)
        self.up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)
        self.first, self.second = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        cache = (shape.batch, shape.heads, shape.tokens, shape.width // shape.heads)
        self.register_buffer("keys", 0.1 * torch.randn(cache))
        self.register_buffer("values", 0.1 * torch.randn(cache))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, width = x.shape
        parts = self.inward(self.first(x)).view(batch, 1, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        self.keys[:, :, -1:].copy_(parts[1])
        self.values[:, :, -1:].copy_(parts[2])
        seen = functional.scaled_dot_product_attention(parts[0], self.keys, self.values)
        x = x + self.outward(seen.transpose(1, 2).reshape(batch, 1, width))
        gate, up = self.up(self.second(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    """A Llama-like step: one token in, logits out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = nn.Embedding(shape.words, shape.width)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.words, bias=False)

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        x = self.words(token)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


# A step of the decoder reads 4.6 GB of weights: about 2 ms on an H200.
BERT = Shape(layers=12, width=768, heads=12, hidden=3072, words=30522, tokens=128, batch=1)
GPT = Shape(layers=12, width=1024, heads=16, hidden=4096, words=32768, tokens=1024, batch=8)
DECODER = Shape(layers=28, width=2560, heads=20, hidden=6912, words=32000, tokens=512, batch=1)
SMOKE = Shape(layers=3, width=32, heads=2, hidden=64, words=64, tokens=8, batch=1)
