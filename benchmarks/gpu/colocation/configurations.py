# SPDX-License-Identifier: Apache-2.0
"""The ways of sharing that are compared."""

from dataclasses import dataclass, replace

from gpushare.model.scheduling import SchedulingSettings

from .systems import SYSTEMS, System

USUAL = SchedulingSettings()  # what a daemon sets without a configuration

JobKind = tuple[bool, int | None, str]


@dataclass(frozen=True)
class Configuration:
    """`quantum_us`, `grace_us` and `slice_us` (the job's) are the guard's; grace 0 lets it learn.

    Slices matter where contexts take turns; 0 leaves the driver's, to the service as well.
    `system` is another one than gpushare; `setting` is what its job gets.
    """

    name: str
    mps: bool = False
    guard: bool = False
    client_priority: bool = False
    threads: int | None = None  # percent for the best-effort job
    quantum_us: int = USUAL.gate_quantum
    grace_us: int = USUAL.gate_grace
    slice_us: int = USUAL.gate_timeslice
    system: System | None = None
    setting: str = ""

    @property
    def stage(self) -> tuple[bool, bool, str]:
        """Configurations of one stage share their programs, as far as these differ in nothing."""
        return self.mps, self.guard, self.system.name if self.system else ""

    @property
    def headline(self) -> bool:
        return self.guard and self.threads is None

    @property
    def job(self) -> JobKind:
        """What makes a best-effort program of its own necessary."""
        return self.client_priority, self.threads, self.setting

    @property
    def scheduling(self) -> SchedulingSettings:
        return SchedulingSettings(
            gate_quantum=self.quantum_us, gate_grace=self.grace_us, gate_timeslice=self.slice_us
        )

    @property
    def job_environment(self) -> dict[str, str]:
        edits = {}
        if self.client_priority:
            edits["CUDA_MPS_CLIENT_PRIORITY"] = "1"
        if self.threads is not None:
            edits["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(self.threads)
        return edits


def of_system(name: str) -> Configuration:
    """`SYSTEM+SETTING`, for any setting that the system has."""
    system, _, setting = name.partition("+")
    found = SYSTEMS.get(system)
    if found is None or not found.takes(setting):
        raise ValueError(f"no such configuration: {name}")
    return Configuration(name, system=found, setting=setting)


PEERS = ("hami-core+30", "hami-core+50", "xsched+4/2", "xsched+16/8")
ALL = (
    Configuration("time-slice"),
    Configuration("mps", mps=True),
    Configuration("mps+priority", mps=True, client_priority=True),
    Configuration("mps+priority+50", mps=True, client_priority=True, threads=50),
    Configuration("mps+priority+25", mps=True, client_priority=True, threads=25),
    *map(of_system, PEERS),
    Configuration("gpushare/mps", mps=True, guard=True, client_priority=True),
    *(
        Configuration(f"gpushare/mps+{n}", mps=True, guard=True, client_priority=True, threads=n)
        for n in (90, 75, 50)
    ),
    Configuration("gpushare/time-slice", guard=True),
)
DEFAULT = tuple(each.name for each in ALL if not each.name.startswith("gpushare/mps+"))


def chosen(names: list[str]) -> list[Configuration]:
    known = {each.name: each for each in ALL}
    return [known.get(name) or of_system(name) for name in names]


def variants(
    base: list[Configuration], quanta: list[int], graces: list[int], slices: list[int]
) -> list[Configuration]:
    """Guarded configurations once per quantum, grace and slice; the others as they are."""
    made = []
    for each in base:
        if not each.guard or not (quanta or graces or slices):
            made.append(each)
            continue
        made += [replace(each, quantum_us=quantum) for quantum in quanta]
        made += [replace(each, grace_us=grace) for grace in graces]
        made += [replace(each, slice_us=own) for own in slices]
    return list(dict.fromkeys(made))
