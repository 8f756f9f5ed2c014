# SPDX-License-Identifier: Apache-2.0
"""The figures about a share's scheduling as lines of text."""

from gpushare.model.scheduling import FIGURES, SchedulingFigure, SchedulingView

_MILLI, _MICRO = 1e3, 1e6


def scheduling_lines(view: SchedulingView | None) -> list[str]:
    """What the share's priority makes it count, without what is zero."""
    lines: dict[str, list[str]] = {}
    for name, row in FIGURES.items():
        value = getattr(view, name, 0)
        if value and view and row.only in {None, view.priority}:
            lines.setdefault(row.line, []).append(row.show.format(_shown(row, value)))
    return [", ".join(parts) for parts in lines.values()]


def _shown(row: SchedulingFigure, value: float) -> str:
    """`1.5 s`, `20 ms`, `150 us`; times as they are."""
    if row.unit.per_second is None:
        return str(value)
    if value >= 1:
        return f"{value:.1f} s"
    if value >= 1 / _MILLI:
        return f"{value * _MILLI:.3g} ms"
    return f"{value * _MICRO:.3g} us"
