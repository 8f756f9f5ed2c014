# SPDX-License-Identifier: Apache-2.0
"""Shares whose programs live, found by their regions alone: without the daemon's state.

A program counts from its start, by the mark in its environment: it may use the GPU at any time.
Only programs of the region's owner do, because any user can set the variable.

A tenant owns the file and can put anything there or a lease on it, so one that cannot be read at
once is left out, and nothing waits.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpushare.guard import Region
from gpushare.hardware.linux.census import Census
from gpushare.hardware.ports import Processes
from gpushare.model.errors import RegionCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import Bytes

from .living import LivingSlots

MARK = "GPUSHARE_SHARE"  # in the environment of every program of a share


class LivingShare(NamedTuple):
    """`pids`: of its programs, as far as they can be seen from here. `limits`: by GPU."""

    share: ShareId
    pids: tuple[int, ...]
    limits: dict[GpuId, Bytes]


def living_shares(runtime: Path, processes: Processes) -> tuple[LivingShare, ...]:
    """Of the regions in a daemon's runtime directory, those with living programs."""
    marked = Census().marks(MARK)
    return tuple(_living(runtime / "regions", LivingSlots(processes), marked))


def _living(
    folder: Path, slots: LivingSlots, marked: Mapping[tuple[str, int], Collection[int]]
) -> Iterator[LivingShare]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(OSError, RegionCorruptError):
            snapshot = Region(path).snapshot()
            living, pids = slots.among(snapshot.slots)
            early = marked.get((path.name, path.stat().st_uid), ())
            if living or early:
                limits = {gpu.uuid: gpu.limit for gpu in snapshot.gpus}
                yield LivingShare(ShareId(path.name), tuple({*pids, *early}), limits)
