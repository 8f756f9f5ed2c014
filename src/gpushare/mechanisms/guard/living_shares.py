# SPDX-License-Identifier: Apache-2.0
"""Shares whose programs live, found by their regions alone: without the daemon's state.

A tenant owns the file and can put anything there or a lease on it, so one that cannot be read at
once is left out, and nothing waits.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpushare.guard import Region
from gpushare.hardware.ports import Processes
from gpushare.model.errors import RegionCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import Bytes

from .living import LivingSlots


class LivingShare(NamedTuple):
    """`pids`: of its programs, as far as they can be seen from here. `limits`: by GPU."""

    share: ShareId
    pids: tuple[int, ...]
    limits: dict[GpuId, Bytes]


def living_shares(runtime: Path, processes: Processes) -> tuple[LivingShare, ...]:
    """Of the regions in a daemon's runtime directory, those with living programs."""
    slots = LivingSlots(processes)
    return tuple(_living(runtime / "regions", slots))


def _living(folder: Path, slots: LivingSlots) -> Iterator[LivingShare]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(OSError, RegionCorruptError):
            snapshot = Region(path).snapshot()
            living, pids = slots.among(snapshot.slots)
            if living:
                limits = {gpu.uuid: gpu.limit for gpu in snapshot.gpus}
                yield LivingShare(ShareId(path.name), pids, limits)
