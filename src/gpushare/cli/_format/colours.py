# SPDX-License-Identifier: Apache-2.0
"""Whether output has colours.

In this order: `--color always` or `never`; NO_COLOR (no-color.org); FORCE_COLOR or CLICOLOR_FORCE;
CLICOLOR=0; whether the stream is a terminal that knows colours. The environment stays as it is: a
program that `run` starts gets the user's.
"""

import os
import sys
from contextvars import ContextVar
from typing import Any, TextIO

import click

_ALWAYS: ContextVar[bool | None] = ContextVar("always", default=None)
_CHOICES = {"auto": None, "always": True, "never": False}
MODES = tuple(_CHOICES)


def choose(mode: str) -> None:
    """One of `MODES`."""
    _ALWAYS.set(_CHOICES[mode])


def shown(stream: TextIO | None = None) -> bool:
    """Whether to print colours on the stream; without one, on stdout."""
    stream = stream or sys.stdout
    mode = _mode()
    return stream.isatty() and os.environ.get("TERM") != "dumb" if mode is None else mode


def echo(text: str | bytes, **how: Any) -> None:
    """As `click.echo`, which takes colours out of what goes to a pipe, also those asked for."""
    click.echo(text, color=True if _mode() else None, **how)


def _mode() -> bool | None:
    """None: as the stream is."""
    if (chosen := _ALWAYS.get()) is not None:
        return chosen
    if os.environ.get("NO_COLOR"):
        return False
    forced = (os.environ.get(name, "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    if any(value not in {"", "0"} for value in forced):
        return True
    return False if os.environ.get("CLICOLOR") == "0" else None
