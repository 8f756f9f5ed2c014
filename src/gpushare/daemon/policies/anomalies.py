# SPDX-License-Identifier: Apache-2.0
"""Rules that detect unusual behaviour. They observe and report once; they change nothing.

All times are seconds of a clock that never jumps.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum, unique
from statistics import median

from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.units import GIB, Bytes, format_bytes
from gpushare.model.value import Value

from .hysteresis import Alarm, Windows

HOUR = 3600.0


@unique
class AnomalyKind(StrEnum):
    PROBING = "probing"
    MEMORY = "out-of-memory"
    PATTERN = "pattern"
    OUTSIDE = "outside"
    EDGE = "quota-edge"


class Anomaly(Value):
    kind: AnomalyKind
    why: str
    share: ShareId | None = None
    gpu: GpuId | None = None


class ShareSample(Value):
    """What is observed of one share that has a place.

    `denied` and `launches` are counters, None: nothing counts them. `held`: seconds since it got
    its place. `crowded`: a share of another tenant waits for one.
    """

    share: ShareId
    name: str
    tenant: Tenant
    user: str
    program: str = ""
    denied: int | None = None
    launches: int | None = None
    used: Bytes | None = None
    programs: bool = False
    held: float = 0.0
    crowded: bool = False


class Anomalies:
    """`look` is called once a pass, `refused` for every refused call."""

    def __init__(self) -> None:
        self._probing, self._memory = ProbingRule(), OutOfMemoryRule()
        self._patterns, self._outside, self._edges = PatternRule(), OutsideRule(), QuotaEdgeRule()
        self.counts: dict[AnomalyKind, int] = dict.fromkeys(AnomalyKind, 0)

    def refused(self, now: float, user: str) -> None:
        """A call of the user was refused; see `Monitor.refused` for which refusals count."""
        self._probing.refused(now, user)

    def look(
        self,
        now: float,
        samples: Sequence[ShareSample],
        *,
        outside: Mapping[GpuId, frozenset[int]] = {},
        quota_use: Mapping[Tenant, float] | None = None,
        min_runtime: float = 0.0,
    ) -> list[Anomaly]:
        """New anomalies.

        `outside`: pids outside every share, per GPU with shares. `quota_use`: how much of its limit
        each limited tenant has, 1.0 being all; None: as before.
        """
        anomalies = [
            *self._probing.look(now, samples),
            *self._memory.look(now, samples),
            *self._patterns.look(now, samples),
            *self._outside.look(now, outside),
            *self._edges.look(now, samples, quota_use, min_runtime),
        ]
        for anomaly in anomalies:
            self.counts[anomaly.kind] += 1
        return anomalies


def denied_of(sample: ShareSample) -> int | None:
    """For `Counter.growth`."""
    return sample.denied


class Counter:
    """How much a counter of a tenant's region has grown; one that was set back starts again."""

    YOUNG = 60.0  # counts of an older share from before it was first seen were reported already

    def __init__(self) -> None:
        self._last: dict[ShareId, int] = {}
        self._samples: Sequence[ShareSample] | None = None  # of the last look
        self._looked = False

    def grown(self, sample: ShareSample, value: int | None) -> int:
        """By how much since the last sample of the share; 0 where nothing counts."""
        if value is None:
            return 0
        # The daemon's first look finds counts of its last run, also those of the proof at creation.
        new = self._looked and sample.held < self.YOUNG
        before = self._last.get(sample.share, 0 if new else value)
        self._last[sample.share] = value
        return max(0, value - before)

    def growth(
        self, samples: Sequence[ShareSample], count: Callable[[ShareSample], int | None]
    ) -> list[tuple[ShareSample, int]]:
        """One look at all: those that have grown, and by how much. None for the same samples."""
        if samples is self._samples:
            return []
        every = [(sample, self.grown(sample, count(sample))) for sample in samples]
        self.keep({sample.share for sample in samples})
        self._samples = samples
        return [(sample, grown) for sample, grown in every if grown]

    def keep(self, shares: set[ShareId]) -> None:
        """Ends a look: forget every other share."""
        self._looked = True
        self._last = {share: value for share, value in self._last.items() if share in shares}


class ProbingRule:
    """Many refusals in a short time: a user may be testing the limits."""

    # Seconds, refused allocations of a share, refused requests of a user, seconds.
    WINDOW, DENIED, REFUSED, CALM = 60.0, 200, 15, 600.0

    def __init__(self) -> None:
        self._denied: Windows[ShareId] = Windows(self.WINDOW)
        self._refused: Windows[str] = Windows(self.WINDOW)
        self._counter = Counter()
        self._alarm: Alarm[str] = Alarm(self.CALM)

    def refused(self, now: float, user: str) -> None:
        self._refused.add(user, now)

    def look(self, now: float, samples: Sequence[ShareSample]) -> Iterator[Anomaly]:
        for sample, grown in self._counter.growth(samples, denied_of):
            self._denied.add(sample.share, now, grown)
        denied, refused = self._denied.totals(now), self._refused.totals(now)
        names = {sample.share: sample.name for sample in samples if sample.share in denied}
        for share, number in denied.items():
            if share in names and self._rings(share, now, number, self.DENIED):
                why = f"{number} allocations of {names[share]} were refused within a minute"
                yield Anomaly(kind=AnomalyKind.PROBING, why=why, share=share)
        for user, number in refused.items():
            if self._rings(f"user {user}", now, number, self.REFUSED):
                why = f"{number} requests of {user} were refused within a minute"
                yield Anomaly(kind=AnomalyKind.PROBING, why=why)
        self._alarm.settle({*denied, *(f"user {user}" for user in refused)}, now)

    def _rings(self, key: str, now: float, number: int, most: int) -> bool:
        return self._alarm.rings(key, now, high=number >= most, low=number < most / 3)


class OutOfMemoryRule:
    """A program is refused memory and ends, repeatedly: it will not fit the next time either.

    Programs of one name and user count as one, because each `run` has a share of its own.
    """

    # In seconds, but for `TIMES`. A program that still runs `SOON` after a refusal has coped with
    # it.
    WINDOW, SOON, TIMES, CALM = 1800.0, 30.0, 3, 3600.0

    def __init__(self) -> None:
        self._counter = Counter()
        self._short: dict[ShareId, tuple[float, ShareSample]] = {}
        self._ends: Windows[tuple[str, str]] = Windows(self.WINDOW)
        self._alarm: Alarm[tuple[str, str]] = Alarm(self.CALM)

    def look(self, now: float, samples: Sequence[ShareSample]) -> Iterator[Anomaly]:
        for sample, _ in self._counter.growth(samples, denied_of):
            self._short[sample.share] = (now, sample)
        running = {s.share for s in samples if s.share in self._short and s.programs}
        for share, (at, sample) in list(self._short.items()):
            if share not in running and now - at <= self.SOON:
                self._ends.add((sample.user, sample.program or sample.name), now)
            if share not in running or now - at > self.SOON:
                del self._short[share]
        yield from self._anomalies(now)

    def _anomalies(self, now: float) -> Iterator[Anomaly]:
        ends = self._ends.totals(now)
        for (user, program), number in ends.items():
            if self._alarm.rings((user, program), now, high=number >= self.TIMES, low=number < 2):
                why = f"{program} of {user} ended {number} times just after it was refused memory"
                yield Anomaly(kind=AnomalyKind.MEMORY, why=why)
        self._alarm.settle(ends.keys(), now)


class Series:
    """The newest samples of one figure, and whether it has left its usual range."""

    LENGTH, LEAST, IN_A_ROW = 60, 20, 3
    STEADY = 0.25  # the median deviation, relative to the median

    def __init__(self, least: float, times: float) -> None:
        self._least, self._times = least, times
        self._samples: deque[float] = deque(maxlen=self.LENGTH)
        self._far = 0

    def add(self, value: float) -> float | None:
        """The median, if several samples in a row are far above it; else None."""
        usual = self._usual()
        far = usual is not None and value >= self._times * usual
        self._far = self._far + 1 if far else 0
        self._samples.append(value)
        return usual if self._far >= self.IN_A_ROW else None

    def _usual(self) -> float | None:
        """None while nothing is usual: too few samples, too small, or too unsteady."""
        if len(self._samples) < self.LEAST:
            return None
        middle = median(self._samples)
        # Medians, because a single outlier does not move them.
        spread = median(abs(sample - middle) for sample in self._samples)
        steady = middle >= self._least and spread <= self.STEADY * middle
        return middle if steady else None


class PatternRule:
    """A share that did the same for ten minutes suddenly does much more, or has much more memory.

    Less is not reported: the share has ended, or is idle.
    """

    # `Series.LEAST` samples at this distance are the ten minutes above.
    EVERY, CALM = 30.0, 1800.0
    LAUNCHES, LAUNCHES_TIMES = 1.0, 5.0  # a second
    MEMORY, MEMORY_TIMES = float(GIB), 2.0

    def __init__(self) -> None:
        self._at = float("-inf")
        self._counter = Counter()
        self._rates: dict[ShareId, Series] = {}
        self._sizes: dict[ShareId, Series] = {}
        self._alarm: Alarm[tuple[ShareId, str]] = Alarm(self.CALM)

    def look(self, now: float, samples: Sequence[ShareSample]) -> Iterator[Anomaly]:
        passed = now - self._at
        if passed < self.EVERY:
            return
        self._at = now
        for sample in samples:
            yield from self._launches(now, sample, passed)
            yield from self._memory(now, sample)
        shares = {sample.share for sample in samples}
        self._counter.keep(shares)
        for series in (self._rates, self._sizes):
            for ended in series.keys() - shares:
                del series[ended]
        self._alarm.settle({(s, what) for s in shares for what in ("launches", "memory")}, now)

    def _launches(self, now: float, sample: ShareSample, passed: float) -> Iterator[Anomaly]:
        grown = self._counter.grown(sample, sample.launches)
        if sample.launches is None:
            return
        series = self._rates.setdefault(sample.share, Series(self.LAUNCHES, self.LAUNCHES_TIMES))
        rate = grown / passed
        usual = series.add(rate)
        if self._rings(now, sample, "launches", usual):
            why = f"{sample.name} launches {rate:.0f} times a second, usually {usual:.0f}"
            yield Anomaly(kind=AnomalyKind.PATTERN, why=why, share=sample.share)

    def _memory(self, now: float, sample: ShareSample) -> Iterator[Anomaly]:
        if sample.used is None:
            return
        series = self._sizes.setdefault(sample.share, Series(self.MEMORY, self.MEMORY_TIMES))
        usual = series.add(sample.used)
        if self._rings(now, sample, "memory", usual):
            before = format_bytes(int(usual or 0))
            why = f"{sample.name} has {format_bytes(sample.used)} of memory, usually {before}"
            yield Anomaly(kind=AnomalyKind.PATTERN, why=why, share=sample.share)

    def _rings(self, now: float, sample: ShareSample, what: str, usual: float | None) -> bool:
        high = usual is not None
        return self._alarm.rings((sample.share, what), now, high=high, low=not high)


class OutsideRule:
    """Programs that use a GPU with shares on it and belong to none of them."""

    PATIENCE, CALM = 15.0, 600.0  # a program that has just started is soon found in its share

    def __init__(self) -> None:
        self._since: dict[tuple[GpuId, int], float] = {}
        self._alarm: Alarm[GpuId] = Alarm(self.CALM)

    def look(self, now: float, outside: Mapping[GpuId, frozenset[int]]) -> Iterator[Anomaly]:
        there = {(gpu, pid) for gpu, pids in outside.items() for pid in pids}
        self._since = {key: self._since.get(key, now) for key in there}
        for gpu, pids in outside.items():
            long = sorted(pid for pid in pids if now - self._since[gpu, pid] >= self.PATIENCE)
            if self._alarm.rings(gpu, now, high=bool(long), low=not pids):
                processes = ", ".join(map(str, long))
                why = f"outside every share: process {processes} uses a GPU that shares are on"
                yield Anomaly(kind=AnomalyKind.OUTSIDE, why=why, gpu=gpu)
        self._alarm.settle(outside.keys(), now)


class QuotaEdgeRule:
    """Use at the edge of a quota: at the limit for hours, or giving shares back and requesting new
    ones just before they could be reclaimed, while others wait.
    """

    # Parts of a limit, hours, seconds.
    HIGH, LOW, HOURS, CALM = 0.95, 0.85, 4.0, 3600.0
    EARLY, ROUNDS = 0.5, 10  # of the least time that a share keeps its place; within an hour

    def __init__(self) -> None:
        self._quota_use: dict[Tenant, float] = {}
        self._since: dict[Tenant, float] = {}
        self._last: dict[ShareId, ShareSample] = {}
        self._samples: Sequence[ShareSample] | None = None  # of the last look
        self._rounds: Windows[Tenant] = Windows(HOUR)
        self._alarm: Alarm[tuple[Tenant, str]] = Alarm(self.CALM)

    def look(
        self,
        now: float,
        samples: Sequence[ShareSample],
        quota_use: Mapping[Tenant, float] | None,
        min_runtime: float,
    ) -> Iterator[Anomaly]:
        # The caller computes quotas once a minute only.
        if quota_use is not None:
            self._quota_use = dict(quota_use)
        yield from self._limits(now)
        self._count(now, samples, min_runtime)
        rounds = self._rounds.totals(now)
        yield from self._circles(now, rounds)
        current = {(tenant, "limit") for tenant in self._quota_use}
        self._alarm.settle(current | {(tenant, "rounds") for tenant in rounds}, now)

    def _limits(self, now: float) -> Iterator[Anomaly]:
        at = {tenant for tenant, part in self._quota_use.items() if part >= self.HIGH}
        self._since = {tenant: self._since.get(tenant, now) for tenant in at}
        for tenant, part in self._quota_use.items():
            long = tenant in at and now - self._since[tenant] >= self.HOURS * HOUR
            if self._alarm.rings((tenant, "limit"), now, high=long, low=part < self.LOW):
                why = f"tenant {tenant} has had {part:.0%} of its limit for {self.HOURS:g} hours"
                yield Anomaly(kind=AnomalyKind.EDGE, why=why)

    def _count(self, now: float, samples: Sequence[ShareSample], min_runtime: float) -> None:
        """Count shares that ended shortly before they could have been reclaimed."""
        if samples is self._samples:
            return
        self._samples = samples
        here = {sample.share: sample for sample in samples}
        for share in self._last.keys() - here.keys():
            last = self._last[share]
            if last.crowded and self.EARLY * min_runtime <= last.held <= min_runtime:
                self._rounds.add(last.tenant, now)
        self._last = here

    def _circles(self, now: float, rounds: Mapping[Tenant, int]) -> Iterator[Anomaly]:
        for tenant, number in rounds.items():
            high, low = number >= self.ROUNDS, number < self.ROUNDS / 3
            if self._alarm.rings((tenant, "rounds"), now, high=high, low=low):
                why = (
                    f"tenant {tenant} gave {number} shares back within an hour, each shortly before"
                    " it could be reclaimed, while others waited"
                )
                yield Anomaly(kind=AnomalyKind.EDGE, why=why)
