# SPDX-License-Identifier: Apache-2.0
"""How the GPU work of shares is scheduled: the figures that are shown, and the settings.

Both are tables; nothing else lists their rows.

- A field of `SchedulingView` is one figure over all GPUs of a share. From its row follow the API's
  field and schema, the metric `gpushare_share_sched_NAME[_seconds][_total]`, the text in `gpushare
  show` and the reference. `source` is where the figure comes from: a number of `struct
  gs_share_slot` (native/guard/share/gpu_page.h), which layout.py mirrors.
- A field of `SchedulingSettings` is a key of the configuration. `page` is the field of `struct
  gs_share_policy` that carries it to the guard.

To add a figure: count it in gs_share_slot, `make layout`, one field here, `make docs`.
"""

from enum import StrEnum, unique
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .spec import Priority
from .value import Value

_NS, _US = 1e9, 1e6
_POINTS = 100  # basis points of a percent
_HIGH_TIMESLICE = 10_000  # us: most requests are done within it


@unique
class CountUnit(StrEnum):
    """What the GPU page counts in; times are shown in seconds."""

    TIMES = "times"
    NS = "ns"
    US = "us"

    @property
    def per_second(self) -> float | None:
        return {CountUnit.NS: _NS, CountUnit.US: _US}.get(self)


class SchedulingFigure(Value):
    """A row. `less`: a number to subtract from the source. `level`: not a sum but the largest of
    the GPUs; it may fall. `only`: the priority that has it. `show`: its text, {} is the value;
    figures with the same `line` are on one line. `former`: its name until 0.1, if another.
    `was_metric`: it was a metric, under its former name.
    """

    doc: str
    source: str
    unit: CountUnit
    line: str
    show: str
    less: str = ""
    level: bool = False
    only: Priority | None = None
    former: str = ""
    was_metric: bool = True


def _row(doc: str, source: str, line: str, show: str, **more: Any) -> Meta:
    unit = next(
        (u for u in (CountUnit.NS, CountUnit.US) if source.endswith(f"_{u}")), CountUnit.TIMES
    )
    row = SchedulingFigure(doc=doc, source=source, unit=unit, line=line, show=show, **more)
    return Meta(description=f"{doc}.", extra={"figure": row})


def _low(doc: str, source: str, show: str, **more: Any) -> Meta:
    return _row(f"{doc} (low priority)", source, "low", show, only=Priority.LOW, **more)


def _high(doc: str, source: str, show: str, **more: Any) -> Meta:
    return _row(f"{doc} (high priority)", source, "high", show, only=Priority.HIGH, **more)


class SchedulingView(Value):
    """How the share's work gets onto its GPUs, over all of them; times in seconds."""

    priority: Annotated[Priority, Meta(description="Whose GPU work goes first.")]
    busy: Annotated[
        float, _row("GPU time of its work as far as measured", "busy_ns", "work", "GPU time {}")
    ]
    longest_launch: Annotated[
        float,
        _row("The longest single launch", "longest_ns", "work", "longest launch {}", level=True),
    ]
    waits: Annotated[
        int, _row("Launches that waited on the host", "waits", "waits", "waited {} times")
    ]
    waited: Annotated[float, _row("Time that launches waited", "waited_ns", "waits", "{} in all")]
    turns: Annotated[
        int,
        _row("Turns it had under a compute limit", "turns", "turns", "{} turns", was_metric=False),
    ]
    throttled: Annotated[
        float,
        _row(
            "Time it wanted the GPU and had no turn",
            "wanted_ns",
            "turns",
            "throttled {}",
            less="open_ns",
        ),
    ]
    wanted: Annotated[
        float,
        _row(
            "Time it wanted the GPU, under turns",
            "wanted_ns",
            "turns",
            "wanted the GPU for {}",
            was_metric=False,
        ),
    ]
    overrun: Annotated[
        float, _row("GPU time after the end of its turns", "overrun_ns", "turns", "overran by {}")
    ]
    timeslice: Annotated[
        float,
        _row(
            "Timeslice in force; 0: the driver's own",
            "timeslice_us",
            "timeslice",
            "timeslice {}",
            level=True,
            former="slice",
        ),
    ]
    quantum: Annotated[
        float,
        _low(
            "Most GPU time between two fences",
            "policy.quantum_us",
            "yields within {}",
            level=True,
        ),
    ]
    fences: Annotated[
        int, _low("Waits for an open gate in its streams", "fences", "{} fences", was_metric=False)
    ]
    starvation_runs: Annotated[
        int,
        _low(
            "Times it ran so that it does not starve",
            "starvation_runs",
            "ran {} times against starvation",
            former="floors",
        ),
    ]
    preemptions: Annotated[
        int,
        _high(
            "Times its work preempted others", "preemptions", "preempted {} times", former="raises"
        ),
    ]
    preempt: Annotated[
        float,
        _high(
            "Time in which its work preempted others", "preempt_ns", "{} in all", former="raised"
        ),
    ]
    grace: Annotated[
        float, _high("Pause during which gates stay closed", "grace_ns", "grace {}", level=True)
    ]
    overrides: Annotated[
        int,
        _high(
            "Times it was overruled because nothing moved",
            "overrides",
            "overruled {} times",
            former="stuck",
        ),
    ]


def _extra(kind: type[Value], what: str) -> dict[str, Any]:
    pairs = ((f.name, f.type) for f in msgspec.structs.fields(kind))
    extras = {name: getattr(t, "__metadata__", (Meta(),))[0].extra for name, t in pairs}
    return {name: extra[what] for name, extra in extras.items() if extra and what in extra}


FIGURES: dict[str, SchedulingFigure] = _extra(SchedulingView, "figure")


def metric_name(name: str, prefix: str = "sched") -> str:
    """The metric of a figure, in base units as Prometheus wants it."""
    row = FIGURES[name]
    shown = name if prefix == "sched" else row.former or name
    unit = "_seconds" if row.unit.per_second else ""
    return f"gpushare_share_{prefix}_{shown}{unit}{'' if row.level else '_total'}"


class SchedulingSettings(Value):
    """What can be set about scheduling. The guard gets `gate_timeslice` by the share's priority."""

    gate_quantum: Annotated[
        int,
        Meta(
            ge=20,
            le=100_000,
            description="GPU time in microseconds after which low-priority work checks whether it "
            "must wait for high-priority work.",
            extra={"page": ("quantum_us", 1)},
        ),
    ] = 150
    best_effort_minimum: Annotated[
        int,
        Meta(
            ge=0,
            le=50,
            description="Percent of GPU time that low-priority work gets however busy "
            "high-priority work is.",
            extra={"page": ("minimum", _POINTS)},
        ),
    ] = 2
    gate_grace: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Longest pause of high-priority work, in microseconds, that low-priority "
            "work does not fill; 0: learned from earlier pauses.",
            extra={"page": ("grace_us", 1)},
        ),
    ] = 0
    gate_timeslice: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Timeslice in microseconds of low-priority work next to high-priority "
            "work, where contexts take turns; 0: the driver's own.",
            extra={"page": ("timeslice_us", 1)},
        ),
    ] = 80

    def on_page(self, priority: Priority) -> dict[str, int]:
        """The fields of gs_share_policy that these settings decide, for a share."""
        page = {
            field: getattr(self, key) * scale
            for key, (field, scale) in _extra(SchedulingSettings, "page").items()
        }
        by_priority = {Priority.LOW: self.gate_timeslice, Priority.HIGH: _HIGH_TIMESLICE}
        timeslice = by_priority.get(priority, 0) if self.gate_timeslice else 0
        return page | {"timeslice_us": timeslice}
