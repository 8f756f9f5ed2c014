# SPDX-License-Identifier: Apache-2.0
"""A row in the tables of model/scheduling.py is enough: everything else follows from it."""

from operator import attrgetter
from pathlib import Path

import msgspec
import pytest

from gpushare.api.metrics import MEASURES
from gpushare.api.openapi import document
from gpushare.cli._format.scheduling import scheduling_lines
from gpushare.config.sources import FIELDS
from gpushare.daemon.present.scheduling_view import gate_view, scheduling_view
from gpushare.guard import SharePolicy, ShareSlot, layout
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.scheduling import FIGURES, CountUnit, SchedulingSettings, metric_name
from gpushare.model.spec import Priority
from support.shares import share

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
NUMBERS = layout.GsShareSlotNumbers.__dataclass_fields__
SETTINGS = [field.name for field in msgspec.structs.fields(SchedulingSettings)]
EACH_FIGURE = pytest.mark.parametrize("name", FIGURES)
EACH_SETTING = pytest.mark.parametrize("key", SETTINGS)


def slot(**counts: int) -> ShareSlot:
    policy = SharePolicy(share=ShareId("a"), quantum_us=counts.pop("quantum_us", 0))
    return ShareSlot(number=0, policy=policy, **counts)


def seen(*slots: ShareSlot) -> Observation:
    return Observation(share_slots={GpuId(f"GPU-{n}"): each for n, each in enumerate(slots)})


@EACH_FIGURE
def test_a_figure_comes_from_the_gpu_page(name: str) -> None:
    row = FIGURES[name]
    field = row.source.removeprefix("policy.")
    if row.source in NUMBERS:
        first, second = slot(**{field: 6_000_000_000}), slot(**{field: 3_000_000_000})
    else:
        first, second = slot(**{field: 6_000_000_000}), slot()
    assert attrgetter(row.source)(first) == 6_000_000_000
    view = scheduling_view(share(), seen(first, second))
    other = attrgetter(row.source)(second)
    total = 6_000_000_000 if row.level else 6_000_000_000 + other
    scale = {CountUnit.NS: 1e9, CountUnit.US: 1e6, CountUnit.TIMES: 1}[row.unit]
    assert getattr(view, name) == total / scale


# State of the gate and of the arbiter, and `launches`, which only the profiler reads.
NO_FIGURE = {"gate", "sleepers", "opened_at", "closed_at", "starvation_window", "launches"}


def test_every_number_of_a_share_slot_is_a_figure_or_named_here() -> None:
    used = {row.source for row in FIGURES.values()} | {row.less for row in FIGURES.values()}
    assert NUMBERS.keys() - used == NO_FIGURE


@EACH_FIGURE
def test_a_figure_is_a_metric(name: str) -> None:
    [measure] = [each for each in MEASURES if each.name == metric_name(name)]
    assert (measure.doc, measure.counter) == (FIGURES[name].doc, not FIGURES[name].level)
    assert measure.name.endswith("_total") is measure.counter


@EACH_FIGURE
def test_a_former_metric_says_what_replaces_it(name: str) -> None:
    old = [each for each in MEASURES if each.name == metric_name(name, "gate")]
    assert [each.doc for each in old] == [f"Deprecated: use {metric_name(name)}"] * len(old)
    assert bool(old) is FIGURES[name].was_metric


@EACH_FIGURE
def test_a_figure_is_shown(name: str) -> None:
    row = FIGURES[name]
    field = row.source.removeprefix("policy.")
    who = share(priority=row.only or Priority.NORMAL)
    [line] = [
        line
        for line in scheduling_lines(scheduling_view(who, seen(slot(**{field: 1_000_000}))))
        if row.show.partition("{}")[0] in line and row.show.partition("{}")[2] in line
    ]
    assert line


@EACH_FIGURE
def test_a_figure_is_in_the_schema_of_the_api(name: str) -> None:
    view = document()["components"]["schemas"]["SchedulingView"]
    assert view["properties"][name]["description"] == f"{FIGURES[name].doc}."


@EACH_FIGURE
def test_a_figure_is_in_the_reference(name: str) -> None:
    text = (REFERENCE / "metrics.md").read_text("utf-8")
    assert f"| `{metric_name(name)}` |" in text
    assert (f"| `{metric_name(name, 'gate')}` |" in text) is FIGURES[name].was_metric


@EACH_SETTING
def test_a_setting_is_a_key_and_reaches_the_gpu_page(key: str) -> None:
    assert key in FIELDS
    assert f"| `{key}` |" in (REFERENCE / "config.md").read_text("utf-8")
    before = SchedulingSettings().on_page(Priority.LOW)
    changed = SchedulingSettings(**{key: 42}).on_page(Priority.LOW)
    [(field, value)] = changed.items() - before.items()
    assert value in {42, 4200}
    assert field in {name for name, *_ in layout.GsSharePolicy._fields_}
    assert field in SharePolicy.__struct_fields__


def test_timeslices_depend_on_the_priority_or_are_the_drivers() -> None:
    def of(settings: SchedulingSettings) -> list[int]:
        return [settings.on_page(priority)["timeslice_us"] for priority in Priority]

    assert of(SchedulingSettings(gate_timeslice=50)) == [50, 0, 10_000]
    assert of(SchedulingSettings(gate_timeslice=0)) == [0, 0, 0]


def test_the_former_view_has_the_same_figures() -> None:
    view = scheduling_view(share(), seen(slot(preemptions=3, preempt_ns=2_000_000_000)))
    former = gate_view(view)
    assert former
    assert (former.raises, former.raised, former.rank) == (3, 2.0, Priority.NORMAL)
    assert gate_view(None) is None


def test_a_share_without_a_share_slot_has_no_figures() -> None:
    assert scheduling_view(share(), Observation()) is None
