# SPDX-License-Identifier: Apache-2.0
"""Texts as a terminal shows them: printable, with a width in columns, and with colours of ours."""

import re
from typing import Any

import click

from gpushare.config.printable import printable

from . import colours

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_RESET = "\x1b[0m"
_MORE = "…"


class Styled(str):
    """A text with colours of ours, whose other characters are printable already."""

    __slots__ = ()

    def __add__(self, other: str) -> "Styled":
        return Styled(str.__add__(self, safe(other)))

    def __radd__(self, other: str) -> "Styled":
        return Styled(str.__add__(safe(other), self))


def colour(text: str, **style: Any) -> Styled:
    """The text, styled if stdout shows colours."""
    return Styled(click.style(printable(text), **style) if colours.shown() else printable(text))


def safe(cell: str) -> str:
    return cell if isinstance(cell, Styled) else printable(cell)


def width(text: str) -> int:
    """On a terminal: colours take no column, a Chinese character takes two."""
    plain = _STYLE.sub("", text)
    if plain.isascii():
        return len(plain)
    from wcwidth import wcswidth  # noqa: PLC0415 (start-up time)

    columns = wcswidth(plain)
    return len(plain) if columns < 0 else columns  # negative: the text has control characters


def padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def shortened(text: str, columns: int) -> str:
    """At most as wide; `…` stands for what is left out. A text keeps its first colour."""
    if width(text) <= columns:
        return text
    room = columns - width(_MORE)
    plain = (_split(_STYLE.sub("", text), room)[0] if room > 0 else "") + _MORE
    style = _STYLE.search(text)
    return f"{style.group()}{plain}{_RESET}" if style else plain


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """Lines at most as wide, broken between words; `indent` begins all but the first."""
    lines: list[str] = []
    line, room = "", max(1, columns)
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if width(candidate) <= room:
            line = candidate
            continue
        lines += [line] if line else []
        line, room = word, max(1, columns - len(indent))
        # Such as a path that is longer than a line.
        while width(line) > room:
            head, line = _split(line, room)
            lines.append(head)
    return [(indent if place else "") + each for place, each in enumerate([*lines, line])]


def _split(text: str, columns: int) -> tuple[str, str]:
    """The most of the text that is at most as wide, at least one character, and the rest."""
    end = min(len(text), max(1, columns))
    while end > 1 and width(text[:end]) > columns:
        end -= 1
    return text[:end], text[end:]
