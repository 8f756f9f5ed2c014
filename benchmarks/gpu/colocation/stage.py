# SPDX-License-Identifier: Apache-2.0
"""The programs of the configurations that can share them, started all at once."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu import machine, mps
from benchmarks.gpu.gpu_page import HIGH, LOW, GpuPage, Policy
from benchmarks.gpu.share import Share, guarded, library

from .configurations import Configuration, JobKind
from .process import Jobs, Services
from .systems import Started, started

GIB = 1 << 30
CONTEXT = 527 << 20  # what a context costs on an H200; nothing here comes near a limit
SHARE = 60 * GIB
SERVICE_SLOT, FIRST_JOB_SLOT = 0, 1
LEVELS = ("longest_ns", "grace_ns", "timeslice_us")

Counters = dict[str, dict[str, int]]


@dataclass
class Stage:
    services: Services
    jobs: dict[JobKind, Jobs]
    page: GpuPage | None

    def slot_of(self, configuration: Configuration) -> int:
        return FIRST_JOB_SLOT + list(self.jobs).index(configuration.job)

    def apply(self, configuration: Configuration) -> Jobs:
        """Sets the guard's policy; the best-effort program of the configuration."""
        if self.page:
            own = {"quantum_us": configuration.quantum_us, "grace_us": configuration.grace_us}
            service = Policy(rank=HIGH, timeslice_us=configuration.service_slice_us, **own)
            job = Policy(rank=LOW, timeslice_us=configuration.slice_us, **own)
            self.page.set_share(SERVICE_SLOT, service)
            self.page.set_share(self.slot_of(configuration), job)
        return self.jobs[configuration.job]

    def gate(self, configuration: Configuration) -> Counters:
        if not self.page:
            return {}
        slots = {"lc": SERVICE_SLOT, "be": self.slot_of(configuration)}
        return {name: self.page.counters(slot) for name, slot in slots.items()}


def grown(before: Counters, after: Counters) -> Counters:
    """What was counted in between; for what is no sum, what it was in the end."""
    return {
        slot: {
            name: value - (0 if name in LEVELS else before[slot][name])
            for name, value in found.items()
        }
        for slot, found in after.items()
    }


def _share(stack: ExitStack, page: GpuPage | None, slot: int) -> Share | None:
    if page is None:
        return None
    return stack.enter_context(guarded(page.uuid, SHARE, CONTEXT, page=page, slot=slot))


def _environment(share: Share | None, *more: Mapping[str, str]) -> dict[str, str]:
    merged = dict(share.edits) if share else {}
    for each in more:
        merged |= each
    return merged


def _page(stack: ExitStack) -> GpuPage:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-gpu-page-", dir="/dev/shm"))
    return GpuPage.create(Path(folder) / "boards", machine.first_gpu()["uuid"], library())


@dataclass(frozen=True)
class _Grounds:
    """What the programs of one stage need first."""

    pipe: Mapping[str, str]
    page: GpuPage | None
    other: Started | None

    @classmethod
    def laid(cls, stack: ExitStack, first: Configuration) -> "_Grounds":
        """In smoke runs there is neither MPS nor guard nor another system."""
        if machine.smoke():
            return cls({}, None, None)
        pipe = stack.enter_context(mps.daemon()) if first.mps else {}
        page = _page(stack) if first.guard else None
        other = stack.enter_context(started(first.system)) if first.system else None
        return cls(pipe, page, other)

    def services(self, stack: ExitStack, names: Sequence[str]) -> Services:
        if self.page:
            self.page.set_share(SERVICE_SLOT, Policy(rank=HIGH))
        share = _share(stack, self.page, SERVICE_SLOT)
        own = self.other.service if self.other else {}
        made = Services(names, _environment(share, self.pipe, own))
        stack.callback(made.end)
        if self.other:
            made.ready()  # HAMi-core takes the process that is new on the GPU for its own
        return made

    def job(self, stack: ExitStack, each: Configuration, names: Sequence[str], slot: int) -> Jobs:
        if self.page:
            self.page.set_share(slot, Policy(rank=LOW))
        own = self.other.job(each.setting) if self.other else each.job_environment
        made = Jobs(names, _environment(_share(stack, self.page, slot), self.pipe, own))
        stack.callback(made.end)
        return made


@contextmanager
def stage(
    configurations: Sequence[Configuration], services: Sequence[str], jobs: Sequence[str]
) -> Iterator[Stage]:
    """All configurations are of one stage."""
    with ExitStack() as stack:
        grounds = _Grounds.laid(stack, configurations[0])
        lc = grounds.services(stack, services)
        made: dict[JobKind, Jobs] = {}
        for each in configurations:
            if each.job not in made:
                made[each.job] = grounds.job(stack, each, jobs, FIRST_JOB_SLOT + len(made))
        if not grounds.other:
            lc.ready()
        for program in made.values():
            program.ready()
        yield Stage(lc, made, grounds.page)
