# SPDX-License-Identifier: Apache-2.0
"""The preloaded guard as Python sees it."""

from .former import former_pool
from .gpu_page import GpuPage, GpuPageSnapshot, SharePolicy, ShareSlot
from .layout import Failure, Flag, Phase, Rank
from .native import library, library_path, native_root
from .reader import Reader
from .region import (
    Region,
    RegionGpu,
    RegionGrant,
    RegionSlot,
    RegionSnapshot,
    why_unmigratable,
    why_unmovable,
)
from .swap_pool import Swap, SwapInfo

__all__ = [
    "Failure",
    "Flag",
    "GpuPage",
    "GpuPageSnapshot",
    "Phase",
    "Rank",
    "Reader",
    "Region",
    "RegionGpu",
    "RegionGrant",
    "RegionSlot",
    "RegionSnapshot",
    "SharePolicy",
    "ShareSlot",
    "Swap",
    "SwapInfo",
    "former_pool",
    "library",
    "library_path",
    "native_root",
    "why_unmigratable",
    "why_unmovable",
]
