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

from .configurations import Configuration
from .process import Jobs, Services

GIB = 1 << 30
CONTEXT = 527 << 20  # what a context costs on an H200; nothing here comes near a limit
SHARE = 60 * GIB
SERVICE_SLOT, FIRST_JOB_SLOT = 0, 1
LEVELS = ("longest_ns", "grace_ns", "timeslice_us")

Counters = dict[str, dict[str, int]]


@dataclass
class Stage:
    services: Services
    jobs: dict[tuple[bool, int | None], Jobs]
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


@contextmanager
def stage(
    configurations: Sequence[Configuration], services: Sequence[str], jobs: Sequence[str]
) -> Iterator[Stage]:
    """All configurations are of one stage. In smoke runs there is neither MPS nor guard."""
    with ExitStack() as stack:
        real, first = not machine.smoke(), configurations[0]
        pipe = stack.enter_context(mps.daemon()) if first.mps and real else {}
        page = _page(stack) if first.guard and real else None
        if page:
            page.set_share(SERVICE_SLOT, Policy(rank=HIGH))
        lc = Services(services, _environment(_share(stack, page, SERVICE_SLOT), pipe))
        stack.callback(lc.end)
        made: dict[tuple[bool, int | None], Jobs] = {}
        for each in configurations:
            if each.job in made:
                continue
            slot = FIRST_JOB_SLOT + len(made)
            if page:
                page.set_share(slot, Policy(rank=LOW))
            env = _environment(_share(stack, page, slot), pipe, each.job_environment)
            made[each.job] = Jobs(jobs, env)
            stack.callback(made[each.job].end)
        lc.ready()
        for program in made.values():
            program.ready()
        yield Stage(lc, made, page)
