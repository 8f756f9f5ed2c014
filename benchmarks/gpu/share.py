# SPDX-License-Identifier: Apache-2.0
"""Shares as the daemon makes them: what is measured is the guard that ships."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gpushare.guard import GpuPage, Rank, Region, RegionSnapshot, SharePolicy, ShareSlot
from gpushare.model.ids import GpuId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.spec import ComputeAsk, MechanismName, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import FULL, Bytes
from gpushare.model.view import CreateRequest, Entry, UpdateRequest

from . import machine
from .machine import NATIVE
from .served import Site

PROBE = NATIVE / "probe" / "gpushare-probe"
_COUNTERS = (
    "wanted_ns", "open_ns", "overrun_ns", "busy_ns", "waits", "waited_ns", "fences", "longest_ns",
    "preemptions", "preempt_ns", "grace_ns", "overrides", "starvation_runs", "launches",
    "timeslice_us",
)  # fmt: skip
_POINTS = 100  # basis points of a percent


@dataclass(frozen=True)
class Share:
    """A share that is held until it is released; programs with its `edits` are in it."""

    site: Site
    name: str
    entry: Entry
    limit: int

    @property
    def edits(self) -> dict[str, str]:
        """What makes a program one of the share."""
        return dict(self.entry.env)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in self.entry.unset}
        return {**kept, **self.edits, **more}

    @cached_property
    def region(self) -> Region:
        return Region(Path(self.entry.env["GPUSHARE_REGION"]))

    def counter(self, name: str) -> int:
        """`used`, `peak`, `denied` or `allocations`; what dead processes used is left out."""
        found = self.region.snapshot()
        return used(found) if name == "used" else int(getattr(found.gpus[0], name))

    def set_limit(self, percent: int) -> None:
        """Of compute; 100: none. A limited share is given all of its limit whenever it wants it."""
        ask = ComputeAsk(limit=percent)
        self.site.client.update(self.name, UpdateRequest(compute=ask))

    def _page(self) -> GpuPage:
        boards = Path(self.entry.env["GPUSHARE_BOARDS"])
        return GpuPage(boards / machine.first_gpu()["uuid"])

    def slot(self) -> ShareSlot:
        slots = self._page().snapshot().share_slots
        return next(slot for slot in slots if slot.policy.share == self.entry.share)

    def counters(self) -> dict[str, int]:
        """What its share slot counts, by the names of gpu_page.h."""
        slot = self.slot()
        return {name: getattr(slot, name) for name in _COUNTERS}

    def schedule(self, settings: SchedulingSettings, priority: Priority) -> None:
        """Scheduling other than the daemon's, to try what they change; not for limited shares."""
        policy = SharePolicy(
            share=self.entry.share,
            rank=Rank[priority.name],
            limit=FULL * _POINTS,
            **settings.on_page(priority),
        )
        self._page().set_share(self.slot().number, policy)


def used(region: RegionSnapshot) -> int:
    """Bytes that living processes are charged."""
    return sum(sum(slot.charged.values()) for slot in region.slots if slot.lives is not False)


@contextmanager
def share(
    here: Site,
    name: str,
    limit: int,
    *,
    base: str = "timeslice",
    priority: Priority = Priority.NORMAL,
) -> Iterator[Share]:
    """A share of `limit` bytes on the GPU that is measured."""
    spec = ShareSpec(
        name=name,
        memory=MemoryAsk(limit=Bytes(limit)),
        priority=priority,
        mechanism=MechanismName(base),
        gpu=(GpuId(machine.first_gpu()["uuid"]),),
    )
    here.client.create(CreateRequest(spec=spec, wait=False))
    try:
        entry = here.client.environment(name, os.environ.get("LD_PRELOAD", ""))
        yield Share(here, name, entry, limit)
    finally:
        here.client.remove(name, force=True)
