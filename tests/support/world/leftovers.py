# SPDX-License-Identifier: Apache-2.0
"""What is left of shares in a made-up world: nothing, until a test says so."""

from dataclasses import dataclass, field
from pathlib import Path

from gpushare.mechanisms.leftovers import KnownShares
from gpushare.model.ids import GpuId
from gpushare.model.leftover import Leftover


@dataclass
class WorldLeftovers:
    """`left`: what lies about. `stuck`: names of what cannot be removed."""

    left: list[Leftover] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    mps_folder: Path = Path("/run/gpushare/mps")
    kept: set[GpuId] = field(default_factory=set)
    asked: list[KnownShares] = field(default_factory=list)

    def homes(self) -> set[GpuId]:
        return self.kept

    def find(self, known: KnownShares) -> list[Leftover]:
        self.asked.append(known)
        return list(self.left)

    def remove(self, leftover: Leftover, _: KnownShares) -> str:
        if leftover.name in self.stuck:
            return "processes 7 are in it: end them first"
        self.left.remove(leftover)
        return ""
