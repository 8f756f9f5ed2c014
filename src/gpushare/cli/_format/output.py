# SPDX-License-Identifier: Apache-2.0
"""Prints results. Commands pass values and columns; this module formats them.

stdout carries data only. Tables fit the terminal that they are printed on; elsewhere, and with
`-o wide`, they are not shortened. JSON, JSON lines and YAML have the schema of the API.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum, unique
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from gpushare.config.printable import printable
from gpushare.model.value import Value

from .colours import echo
from .fitting import Fit, grid, terminal_columns
from .texts import wrapped

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


def _once(show: Callable[[], None]) -> None:
    show()


class Column(Generic[T]):
    """`wide`: shown only by `-o wide`. `least`, `drop`: as in `Fit`."""

    def __init__(
        self,
        title: str,
        cell: Callable[[T], str],
        *,
        wide: bool = False,
        least: int = 0,
        drop: int = 0,
    ) -> None:
        self.title, self.cell, self.wide, self.fit = title, cell, wide, Fit(least, drop)


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
                    echo(printable(table.name(item)))
            case _:
                echo(self._table(values, table))

    def item(self, value: T, name: str, human: Callable[[], str]) -> None:
        """Print one value. `human` formats it for people."""
        match self.format:
            case Format.JSON | Format.YAML:
                self._document({"apiVersion": "v1", **msgspec.structs.asdict(value)})
            case Format.JSONL:
                _json_line(value)
            case Format.NAME:
                echo(printable(name))
            case _:
                echo(human())

    def watch(
        self,
        show: Callable[[], None],
        *,
        again: bool,
        retry: Callable[[Callable[[], None]], None] = _once,
    ) -> None:
        """Show once, or every two seconds until Ctrl-C; a terminal is cleared in between.

        `retry` shows it from the second time on, and again after a failure that may pass.
        """
        if not again:
            show()
            return
        self._shown(show)
        while True:
            time.sleep(WATCH_SECONDS)
            retry(partial(self._shown, show))

    def _shown(self, show: Callable[[], None]) -> None:
        if self.human and sys.stdout.isatty():
            echo(_CLEAR, nl=False)
        show()
        sys.stdout.flush()

    def _document(self, document: dict[str, Any]) -> None:
        plain = msgspec.to_builtins(document)
        if self.format is Format.YAML:
            import yaml  # noqa: PLC0415 (start-up time)

            # sort_keys off: the order of the fields is the order of the API.
            echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        else:
            echo(msgspec.json.format(msgspec.json.encode(plain), indent=2))

    def _table(self, values: Sequence[T], table: Table[T]) -> str:
        columns = [c for c in table.columns if not c.wide or self.format is Format.WIDE]
        bound = None if self.format is Format.WIDE else terminal_columns()
        rows = [[c.title for c in columns], *([c.cell(item) for c in columns] for item in values)]
        text = grid(rows, [c.fit for c in columns], bound)
        width = min(bound or _WIDTH, _WIDTH)
        lines = [text]
        for note in (note for item in values for note in table.notes(item)):
            lines += _wrapped(note, width)
        return "\n".join(lines)


def _wrapped(note: str, columns: int) -> list[str]:
    return wrapped(printable(note), columns, indent="  ")


def note(text: str) -> None:
    """One line on stderr."""
    echo(f"gpushare: {printable(text)}", err=True)


def _json_line(item: object) -> None:
    echo(msgspec.json.encode(item))
