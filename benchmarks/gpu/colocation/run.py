# SPDX-License-Identifier: Apache-2.0
"""Goes through stages, pairs, loads and seeds; writes each row as soon as it is there."""

import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu import machine

from .configurations import Configuration
from .process import Jobs, Services
from .progress import Profile, Trace
from .results import Results
from .stage import Counters, Stage, grown, stage
from .stats import Window, compare, mean_pace

PACE = 400  # requests back to back, for a service's rate
NATIVE = Configuration("solo")


@dataclass
class Plan:
    pairs: list[tuple[str, str]]
    stages: list[list[Configuration]]
    loads: list[float]
    seeds: list[int]
    seconds: float
    alone: bool
    deadline: float
    settle: float
    part: str | None

    @property
    def services(self) -> list[str]:
        return list(dict.fromkeys(lc for lc, _ in self.pairs))

    @property
    def jobs(self) -> list[str]:
        return list(dict.fromkeys(be for _, be in self.pairs))

    @property
    def solo_seconds(self) -> float:
        return min(4.0, self.seconds)

    def seeds_of(self, configuration: Configuration) -> list[int]:
        """All for the headline; one for what it is compared with."""
        return self.seeds if configuration.headline else self.seeds[:1]

    def settle_of(self, configuration: Configuration) -> float:
        """Seconds from a job's start to the first window."""
        system = configuration.system
        return self.settle + (system.settle_s if system and not machine.smoke() else 0.0)

    def time_for(self, seconds: float) -> bool:
        return time.monotonic() + seconds < self.deadline


@dataclass
class Solo:
    """What everything is compared with, measured natively in the same run."""

    windows: dict[tuple[str, float, int], Window] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    checksums: dict[str, int] = field(default_factory=dict)


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def rates(services: Services, results: Results, plan: Plan) -> None:
    """Measured once for all commands that fill the file, so that all have the same schedules."""
    for name in plan.services:
        if name not in results.rates:
            requests = PACE // 20 if machine.smoke() else PACE
            results.rates[name] = round(1 / services.pace(name, requests), 1)
        say(f"  {name}: {results.rates[name]} requests/s")


def solo(here: Stage, results: Results, plan: Plan) -> Solo:
    found = Solo(checksums=here.services.checksums)
    rates(here.services, results, plan)
    for name in plan.services:
        for load in plan.loads:
            for seed in plan.seeds:
                rate = load * results.rates[name]
                window = here.services.window(name, rate, plan.seconds, seed)
                found.windows[name, load, seed] = window
                alone = {"lc": name, "configuration": "solo", "load": load}
                results.keep(alone, [window], [])
                if window.wrong:
                    say(f"  {name} alone: {window.wrong} of {len(window.ends)} WRONG")
    [jobs] = here.jobs.values()
    for name in plan.jobs:
        found.profiles[name] = profile(jobs, name, plan)
        results.jobs[name] = {"step_ms": round(1000 * found.profiles[name].step_s, 3)}
        say(f"  {name}: {results.jobs[name]['step_ms']} ms a step")
    results.save()
    return found


def profile(jobs: Jobs, name: str, plan: Plan, configuration: Configuration = NATIVE) -> Profile:
    jobs.start(name)
    time.sleep(plan.settle_of(configuration))
    trace = jobs.trace(plan.solo_seconds)
    jobs.pause()
    return jobs.profile(name, trace)


@dataclass
class Case:
    """One pair under one configuration at one load."""

    lc: str
    be: str
    load: float
    configuration: Configuration
    rate: float

    def key(self) -> dict[str, Any]:
        own = self.configuration
        names = ("quantum_us", "grace_us", "slice_us") if own.guard else ()
        guard = {name: getattr(own, name) for name in names}
        system = own.system
        version = {"version": system.version} if system and system.built else {}
        return {
            "lc": self.lc,
            "be": self.be,
            "configuration": own.name,
            "load": self.load,
            **guard,
            **version,
        }


@dataclass
class Outcome:
    windows: list[Window] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    wrong_checks: int = 0
    checks: int = 0
    gate: Counters = field(default_factory=dict)


def together(here: Stage, case: Case, known: Solo, plan: Plan) -> Outcome:
    """The job runs through all seeds; what it did is counted over exactly the windows."""
    jobs, outcome = here.apply(case.configuration), Outcome()
    jobs.start(case.be)
    before, counted = jobs.page.checks, here.gate(case.configuration)
    time.sleep(plan.settle_of(case.configuration) - plan.settle)
    for seed in plan.seeds_of(case.configuration):
        time.sleep(plan.settle)
        sampler = jobs.watch()
        window = here.services.window(case.lc, case.rate, plan.seconds, seed)
        time.sleep(0.1)  # so that the trace reaches beyond the window
        trace = sampler.end()
        outcome.windows.append(window)
        outcome.traces.append(trace)
        done = known.profiles[case.be].delivered(trace, window.begin, window.end)
        outcome.shares.append(done)
        if window.saturated:
            break
    outcome.gate = grown(counted, here.gate(case.configuration))
    jobs.pause()
    outcome.checks, outcome.wrong_checks = jobs.page.checks - before, jobs.page.wrong
    return outcome


def row(here: Stage, case: Case, outcome: Outcome, known: Solo, plan: Plan) -> dict[str, Any]:
    seeds = plan.seeds[: len(outcome.windows)]
    base = [known.windows[case.lc, case.load, seed] for seed in seeds]
    answered = all(len(window.ends) for window in outcome.windows)
    kinds = ("response", "service") if answered else ()
    return {
        **case.key(),
        "seeds": seeds,
        "seconds": plan.seconds,
        "requests": sum(len(window.ends) for window in outcome.windows),
        "offered": sum(window.offered for window in outcome.windows),
        "saturated": any(window.saturated for window in outcome.windows),
        **{kind: compare(outcome.windows, base, kind) for kind in kinds},
        "pace": mean_pace(outcome.windows),
        "solo_pace": mean_pace(base),
        "be_share": round(sum(outcome.shares) / len(outcome.shares), 4),
        "be_by_seed": [round(each, 4) for each in outcome.shares],
        "wrong_requests": sum(window.wrong for window in outcome.windows),
        "wrong_checks": outcome.wrong_checks,
        "checks": outcome.checks,
        "same_as_solo": here.services.checksums[case.lc] == known.checksums[case.lc],
        "gate": outcome.gate,
    }


def _shown(made: dict[str, Any]) -> str:
    figures = [
        f"{kind} {made[kind]['p99_ratio']}" for kind in ("response", "service") if kind in made
    ]
    wrong = made["wrong_requests"] + made["wrong_checks"]
    flags = [" SATURATED"] * made["saturated"] + [f" {wrong} WRONG"] * bool(wrong)
    varied = (made.get(each, "") for each in ("quantum_us", "grace_us", "slice_us"))
    name = " ".join(str(each) for each in (made["configuration"], *varied)).strip()
    return (
        f"  {made['lc']} + {made['be']} at {made['load']}, {name}: "
        + ", ".join([*figures, f"be {made['be_share']}"])
        + "".join(flags)
    )


def cases(of: list[Configuration], results: Results, plan: Plan) -> list[Case]:
    """Configurations change fastest, so that drift falls on all."""
    return [
        Case(lc, be, load, configuration, load * results.rates[lc])
        for lc, be in plan.pairs
        for load in plan.loads
        for configuration in of
    ]


def alone(here: Stage, of: list[Configuration], known: Solo, results: Results, plan: Plan) -> None:
    """What the mechanism costs a program that has no neighbour."""
    for configuration in of:
        jobs = here.apply(configuration)
        for name in plan.jobs:
            share = known.profiles[name].step_s / profile(jobs, name, plan, configuration).step_s
            key = {"be": name, "configuration": configuration.name}
            results.add({**key, "share": round(share, 4)}, "alone")
            say(f"  {name} alone, {configuration.name}: {share:.3f}")
    for name in plan.services:
        load, seed = plan.loads[0], plan.seeds[0]
        window = here.services.window(name, load * results.rates[name], plan.seconds, seed)
        base = [known.windows[name, load, seed]]
        found = {kind: compare([window], base, kind) for kind in ("response", "service")}
        results.add({"lc": name, "configuration": of[0].name, "load": load, **found}, "alone")
        say(f"  {name} alone, {of[0].name}: {found['service']['p99_ratio']}")


def go(here: Stage, of: list[Configuration], known: Solo, results: Results, plan: Plan) -> bool:
    """False when the time was up before everything was measured."""
    if plan.alone and of[0].stage != NATIVE.stage:
        alone(here, of, known, results, plan)
    for case in cases(of, results, plan):
        seeds = plan.seeds_of(case.configuration)
        settle = plan.settle_of(case.configuration)
        if not plan.time_for(len(seeds) * (plan.seconds * 1.1 + settle)):
            say(f"  no time left for {case}")
            return False
        outcome = together(here, case, known, plan)
        made = row(here, case, outcome, known, plan)
        results.keep(made, outcome.windows, outcome.traces)
        results.add(made)
        say(_shown(made))
    return True


def attempt(of: list[Configuration], known: Solo, results: Results, plan: Plan) -> bool:
    """A stage that fails does not take the others with it."""
    say("stage " + ", ".join(dict.fromkeys(each.name for each in of)))
    system = of[0].system
    if system and system.lacks:
        without(of, results, plan, system.lacks)
        return True
    try:
        with stage(of, plan.services, plan.jobs) as here:
            return go(here, of, known, results, plan)
    except (RuntimeError, OSError) as error:
        say(f"  failed: {error}")
        if system:
            without(of, results, plan, "failed", cause=str(error))
        return False


def without(of: list[Configuration], results: Results, plan: Plan, why: str, **more: str) -> None:
    """Rows of another system that were not measured, unless this command has measured them."""
    for case in cases(of, results, plan):
        if not results.has(case.key()):
            results.add({**case.key(), "missing": why, **more})
            say(f"  {case.lc} + {case.be} at {case.load}, {case.configuration.name}: {why}")


def measure(plan: Plan) -> int:
    return measure_into(Results(plan.part), plan)


def measure_into(results: Results, plan: Plan) -> int:
    """Native configurations come first: they share their programs with the runs alone."""
    native = next((each for each in plan.stages if each[0].stage == NATIVE.stage), [])
    say("stage time-slice")
    with stage(native or [NATIVE], plan.services, plan.jobs) as here:
        known = solo(here, results, plan)
        complete = not native or go(here, native, known, results, plan)
    others = [of for of in plan.stages if of is not native]
    return 0 if all([complete, *(attempt(of, known, results, plan) for of in others)]) else 3
