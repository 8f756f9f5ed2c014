# SPDX-License-Identifier: Apache-2.0
"""The programs of the configurations that can share them, started all at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.gpu import machine, mps
from benchmarks.gpu.served import Site, site
from benchmarks.gpu.share import Share, share

from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.spec import Priority

from .configurations import USUAL, Configuration, JobKind
from .process import Jobs, Services
from .systems import Started, started

GIB = 1 << 30
SPARE = 8 * GIB  # of a GPU, for contexts and what the driver keeps
LEVELS = ("longest_ns", "grace_ns", "timeslice_us")

Counters = dict[str, dict[str, int]]
Shares = dict[JobKind | None, Share]


@dataclass
class Stage:
    """`shares`: of the service, under None, and of the jobs; none without the guard."""

    services: Services
    jobs: dict[JobKind, Jobs]
    shares: Shares = field(default_factory=dict)
    scheduling: SchedulingSettings = USUAL

    def apply(self, configuration: Configuration) -> Jobs:
        """Schedules as the configuration says; the best-effort program of the configuration."""
        if self.shares and configuration.scheduling != self.scheduling:
            self.scheduling = configuration.scheduling
            for key, each in self.shares.items():
                each.schedule(self.scheduling, Priority.LOW if key else Priority.HIGH)
        return self.jobs[configuration.job]

    def gate(self, configuration: Configuration) -> Counters:
        if not self.shares:
            return {}
        of = {"lc": None, "be": configuration.job}
        return {name: self.shares[key].counters() for name, key in of.items()}


def grown(before: Counters, after: Counters) -> Counters:
    """What was counted in between; for what is no sum, what it was in the end."""
    return {
        slot: {
            name: value - (0 if name in LEVELS else before[slot][name])
            for name, value in found.items()
        }
        for slot, found in after.items()
    }


def _shares(stack: ExitStack, here: Site, base: str, jobs: Sequence[JobKind]) -> Shares:
    """As `gpushare run -p high` and `-p low` make them; nothing here comes near a limit."""
    limit = (machine.first_gpu()["memory_total"] - SPARE) // (1 + len(jobs))
    made: Shares = {}
    enter = stack.enter_context
    made[None] = enter(share(here, "service", limit, base=base, priority=Priority.HIGH))
    for number, key in enumerate(jobs):
        name = f"job-{number}"
        made[key] = enter(share(here, name, limit, base=base, priority=Priority.LOW))
    return made


def _environment(of: Share | None, *more: Mapping[str, str]) -> dict[str, str]:
    merged = dict(of.edits) if of else machine.selected()
    for each in more:
        merged |= each
    return merged


@dataclass(frozen=True)
class _Grounds:
    """What the programs of one stage need first."""

    pipe: Mapping[str, str] = field(default_factory=dict)
    shares: Shares = field(default_factory=dict)
    other: Started | None = None

    @classmethod
    def laid(cls, stack: ExitStack, first: Configuration, jobs: Sequence[JobKind]) -> "_Grounds":
        """In smoke runs there is neither MPS nor guard nor another system."""
        if machine.bare():
            return cls()
        if first.guard:
            base = "mps" if first.mps else "timeslice"
            return cls(shares=_shares(stack, stack.enter_context(site()), base, jobs))
        pipe = stack.enter_context(mps.daemon()) if first.mps else {}
        other = stack.enter_context(started(first.system)) if first.system else None
        return cls(pipe=pipe, other=other)

    def services(self, stack: ExitStack, names: Sequence[str]) -> Services:
        own = self.other.service if self.other else {}
        made = Services(names, _environment(self.shares.get(None), self.pipe, own))
        stack.callback(made.end)
        if self.other:
            made.ready()  # HAMi-core takes the process that is new on the GPU for its own
        return made

    def job(self, stack: ExitStack, each: Configuration, names: Sequence[str]) -> Jobs:
        own = self.other.job(each.setting) if self.other else each.job_environment
        made = Jobs(names, _environment(self.shares.get(each.job), self.pipe, own))
        stack.callback(made.end)
        return made


@contextmanager
def stage(
    configurations: Sequence[Configuration], services: Sequence[str], jobs: Sequence[str]
) -> Iterator[Stage]:
    """All configurations are of one stage."""
    with ExitStack() as stack:
        kinds = {each.job: each for each in configurations}
        grounds = _Grounds.laid(stack, configurations[0], list(kinds))
        lc = grounds.services(stack, services)
        made = {key: grounds.job(stack, each, jobs) for key, each in kinds.items()}
        if not grounds.other:
            lc.ready()
        for program in made.values():
            program.ready()
        yield Stage(lc, made, grounds.shares)
