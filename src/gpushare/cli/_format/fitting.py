# SPDX-License-Identifier: Apache-2.0
"""Aligns cells in columns, and makes rows fit a terminal.

Rows that are too wide become narrower in this order:

1. texts of columns that may be shortened end with `…`, the widest column first, down to what each
   is still worth reading at;
2. columns that matter less are dropped;
3. on a very narrow terminal, every line is cut.

Output that is not a terminal, and `-o wide`, have no bound: scripts see what they always saw.
"""

import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .texts import padded, safe, shortened, width, wrapped

_GAP = "  "
_LEAST = 8  # columns of a cell that may be shortened, if its column does not say otherwise
_LEAST_WRAPPED = 24  # columns that are left for a text that is wrapped


class Fit(NamedTuple):
    """How a column becomes narrower. `least`: texts are shortened, not below this; 0: never.

    `drop`: columns with the highest number are dropped first; 0: never.
    """

    least: int = 0
    drop: int = 0


_SHORTER = Fit(least=_LEAST)


def terminal_columns() -> int | None:
    """The width of the terminal that stdout is; None: it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], columns: int | None = None) -> str:
    """Left-aligned columns, two spaces apart, without trailing spaces; all texts printable."""
    return grid(rows, [_SHORTER] * len(rows[0]) if rows else (), columns or terminal_columns())


def grid(rows: Sequence[Sequence[str]], fits: Sequence[Fit], columns: int | None) -> str:
    """As `aligned`, in at most as many columns; None: no bound."""
    cells = [[safe(cell) for cell in row] for row in rows]
    if columns is None:
        return _lines(cells, _widths(cells))
    kept = _kept(_widths(cells), fits, columns)
    cells = [[row[place] for place in kept] for row in cells]
    widths = _shrunk(_widths(cells), [fits[place] for place in kept], columns)
    text = _lines([list(map(shortened, row, widths)) for row in cells], widths)
    return "\n".join(shortened(line, columns) for line in text.splitlines())


def described(rows: Sequence[tuple[str, str]]) -> str:
    """Names and texts: on a terminal, long texts continue on the next lines."""
    columns = terminal_columns()
    cells = [(safe(name), safe(text)) for name, text in rows]
    names = max((width(name) for name, _ in cells), default=0)
    if columns is None or columns - names < _LEAST_WRAPPED:
        return aligned(rows)
    room = columns - names - len(_GAP)
    lines = []
    for name, text in cells:
        first, *more = wrapped(text, room)
        lines.append(f"{padded(name, names)}{_GAP}{first}".rstrip())
        lines += [f"{' ' * names}{_GAP}{line}" for line in more]
    return "\n".join(lines)


def bounded(line: str) -> str:
    """A line that fits the terminal."""
    columns = terminal_columns()
    return line if columns is None else shortened(line, columns)


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    return "\n".join(_GAP.join(map(padded, row, widths)).rstrip() for row in cells)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width, column)) for column in zip(*cells, strict=True)]


def _kept(widths: Sequence[int], fits: Sequence[Fit], columns: int) -> list[int]:
    """The places of the columns that are not dropped."""
    kept = list(range(len(widths)))
    for place in sorted(kept, key=lambda place: -fits[place].drop):
        least = (_narrowest(widths[it], fits[it]) for it in kept)
        if _total(list(least)) <= columns or not fits[place].drop:
            break
        kept.remove(place)
    return kept


def _shrunk(widths: list[int], fits: Sequence[Fit], columns: int) -> list[int]:
    """The widest first, until the line fits or no text may be shorter."""
    widths = list(widths)
    while (over := _total(widths) - columns) > 0:
        able = [it for it, fit in enumerate(fits) if widths[it] > _narrowest(widths[it], fit)]
        if not able:
            break
        widest = max(able, key=widths.__getitem__)
        rest = max((widths[it] for it in able if widths[it] < widths[widest]), default=0)
        floor = max(rest, _narrowest(widths[widest], fits[widest]))
        widths[widest] = max(floor, widths[widest] - over, 1)
    return widths


def _narrowest(natural: int, fit: Fit) -> int:
    return min(natural, fit.least) if fit.least else natural


def _total(widths: Sequence[int]) -> int:
    """Of a line; a column without any text at its end takes no place."""
    shown = [each for each in widths if each]
    return sum(shown) + len(_GAP) * max(0, len(shown) - 1)
