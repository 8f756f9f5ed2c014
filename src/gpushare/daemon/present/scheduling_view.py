# SPDX-License-Identifier: Apache-2.0
"""The figures about a share's scheduling, from the share slots on its GPUs' pages."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from gpushare.guard import ShareSlot
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.scheduling import FIGURES, SchedulingFigure, SchedulingView
from gpushare.model.share import Share
from gpushare.model.view import GateView


def scheduling_view(share: Share, observed: Observation) -> SchedulingView | None:
    """Over all GPUs of the share; None where it has no share slot."""
    slots = list(observed.share_slots.values())
    if not slots:
        return None
    figures: dict[str, Any] = {name: _figure(row, slots) for name, row in FIGURES.items()}
    return SchedulingView(priority=share.spec.priority, **figures)


def gate_view(view: SchedulingView | None) -> GateView | None:
    """The figures that were there before, under their former names."""
    if view is None:
        return None
    figures = {row.former or name: getattr(view, name) for name, row in FIGURES.items()}
    known = {name: figures[name] for name in GateView.__struct_fields__ if name in figures}
    return GateView(rank=view.priority, **known)


def _figure(row: SchedulingFigure, slots: Sequence[ShareSlot]) -> float:
    numbers = list(map(attrgetter(row.source), slots))
    less = sum(map(attrgetter(row.less), slots)) if row.less else 0
    # A snapshot of a page is no single moment, and programs can write it: a difference may be
    # negative.
    number: int = max(numbers) if row.level else max(0, sum(numbers) - less)
    return number / row.unit.per_second if row.unit.per_second else number
