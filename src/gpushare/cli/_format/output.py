# SPDX-License-Identifier: Apache-2.0
"""Prints results. Commands pass values and columns; this module formats them.

stdout carries data only. Tables are not truncated. JSON, JSON lines and YAML have the schema of the
API.
"""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum, unique
from typing import Any, Generic, TypeVar

import click
import msgspec

from gpushare.config.printable import printable
from gpushare.model.value import Value

T = TypeVar("T", bound=Value)
WATCH_SECONDS = 2.0
JSON = "gpushare.json"  # key in click's meta: the command's errors are printed as JSON too
_WIDTH = 80  # columns of the notes below a table
_CLEAR = "\x1b[H\x1b[2J"


@unique
class Format(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    NAME = "name"


class Column(Generic[T]):
    """`wide`: shown only by `-o wide`."""

    def __init__(self, title: str, cell: Callable[[T], str], *, wide: bool = False) -> None:
        self.title, self.cell, self.wide = title, cell, wide


class Table(Generic[T]):
    """The columns for values of one type. `name` is what `-o name` prints.

    `notes` are the lines about a value that follow the table.
    """

    def __init__(
        self,
        name: Callable[[T], str],
        *columns: Column[T],
        notes: Callable[[T], Iterable[str]] = lambda _: (),
    ) -> None:
        self.name, self.columns, self.notes = name, columns, notes


class Output:
    """Writes to stdout in one format."""

    def __init__(self, style: Format) -> None:
        self.format = style

    @property
    def human(self) -> bool:
        """Whether people read the output; other formats are for programs."""
        return self.format in {Format.TABLE, Format.WIDE}

    def items(self, values: Sequence[T], table: Table[T]) -> None:
        """Print several values, in order."""
        match self.format:
            case Format.JSON | Format.YAML:
                self._document({"apiVersion": "v1", "items": list(values)})
            case Format.JSONL:
                for item in values:
                    _json_line(item)
            case Format.NAME:
                for item in values:
                    click.echo(printable(table.name(item)))
            case _:
                click.echo(self._table(values, table))

    def item(self, value: T, name: str, human: Callable[[], str]) -> None:
        """Print one value. `human` formats it for people."""
        match self.format:
            case Format.JSON | Format.YAML:
                self._document({"apiVersion": "v1", **msgspec.structs.asdict(value)})
            case Format.JSONL:
                _json_line(value)
            case Format.NAME:
                click.echo(printable(name))
            case _:
                click.echo(human())

    def watch(self, show: Callable[[], None], *, again: bool) -> None:
        """Show once, or every two seconds until Ctrl-C; a terminal is cleared in between."""
        while True:
            if again and self.human and sys.stdout.isatty():
                click.echo(_CLEAR, nl=False)
            show()
            sys.stdout.flush()
            if not again:
                return
            time.sleep(WATCH_SECONDS)

    def _document(self, document: dict[str, Any]) -> None:
        plain = msgspec.to_builtins(document)
        if self.format is Format.YAML:
            import yaml  # noqa: PLC0415 (start-up time)

            # sort_keys off: the order of the fields is the order of the API.
            click.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        else:
            click.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2))

    def _table(self, values: Sequence[T], table: Table[T]) -> str:
        columns = [c for c in table.columns if not c.wide or self.format is Format.WIDE]
        rows = aligned(
            [[c.title for c in columns], *([c.cell(item) for c in columns] for item in values)]
        )
        notes = (line for item in values for note in table.notes(item) for line in _wrapped(note))
        return "\n".join([rows, *notes])


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(note, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


class Styled(str):
    """A text with colours of ours, whose other characters are printable already."""

    __slots__ = ()

    def __add__(self, other: str) -> "Styled":
        return Styled(str.__add__(self, _safe(other)))

    def __radd__(self, other: str) -> "Styled":
        return Styled(str.__add__(_safe(other), self))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart, without trailing spaces; all texts printable."""
    safe = [[_safe(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*safe, strict=True)]
    lines = ("  ".join(map(_padded, row, widths)).rstrip() for row in safe)
    return "\n".join(lines)


def note(text: str) -> None:
    """One line on stderr."""
    click.echo(f"gpushare: {printable(text)}", err=True)


def _safe(cell: str) -> str:
    return cell if isinstance(cell, Styled) else printable(cell)


def _width(cell: str) -> int:
    """Width on a terminal: colours take no column, a Chinese character takes two."""
    text = click.unstyle(cell)
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # noqa: PLC0415 (start-up time)

    width = wcswidth(text)
    return len(text) if width < 0 else width  # negative: the text has control characters


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def colour(text: str, **style: Any) -> Styled:
    """The text, styled if stdout is a terminal without NO_COLOR or FORCE_COLOR is set."""
    coloured = os.environ.get("FORCE_COLOR") or sys.stdout.isatty()
    use = coloured and not os.environ.get("NO_COLOR")
    return Styled(click.style(printable(text), **style) if use else printable(text))


def _json_line(item: object) -> None:
    click.echo(msgspec.json.encode(item))
