# SPDX-License-Identifier: Apache-2.0
"""The preloaded guard as Python sees it."""

from .native import library, library_path, native_root
from .region import Region, RegionGpu, RegionGrant, RegionSlot, RegionSnapshot

__all__ = [
    "Region",
    "RegionGpu",
    "RegionGrant",
    "RegionSlot",
    "RegionSnapshot",
    "library",
    "library_path",
    "native_root",
]
