# SPDX-License-Identifier: Apache-2.0
"""The preloaded guard as Python sees it."""

from .gpu_page import Board, BoardSnapshot, Rank, Seat, SeatPolicy
from .native import library, library_path, native_root
from .region import (
    Failure,
    Flag,
    Phase,
    Region,
    RegionGpu,
    RegionGrant,
    RegionSlot,
    RegionSnapshot,
    why_fixed,
    why_rooted,
)
from .swap_pool import Swap, SwapInfo

__all__ = [
    "Board",
    "BoardSnapshot",
    "Failure",
    "Flag",
    "Phase",
    "Rank",
    "Region",
    "RegionGpu",
    "RegionGrant",
    "RegionSlot",
    "RegionSnapshot",
    "Seat",
    "SeatPolicy",
    "Swap",
    "SwapInfo",
    "library",
    "library_path",
    "native_root",
    "why_fixed",
    "why_rooted",
]
