# SPDX-License-Identifier: Apache-2.0
"""What every option refuses: an empty text, and digits of other scripts.

`--ttl "$TTL"` with an unset variable must not mean "no ttl", and Python reads any decimal digit of
Unicode as a number.
"""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gpushare.model.units import is_number

# An empty address is a value: it listens for no remote callers whatever the configuration says.
_MAY_BE_EMPTY = frozenset({"listen"})


class Number(click.IntRange):
    """A whole number in the digits 0 to 9."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and not is_number(value):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return int(super().convert(value, param, ctx))


def refuse_empty(command: click.Command) -> click.Command:
    """The command, whose options and those of its subcommands refuse an empty text."""
    refuse_empty_options(command)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            refuse_empty(inner)
    return command


def refuse_empty_options(command: click.Command) -> None:
    """As `refuse_empty`, without the subcommands."""
    for parameter in command.params:
        if parameter.name not in _MAY_BE_EMPTY and not isinstance(parameter.callback, _Callback):
            parameter.callback = _Callback(parameter.callback)


class _Callback:
    """Checks before the callback that the parameter had."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        values = value if isinstance(value, tuple) else (value,)
        if given and isinstance(parameter, click.Option) and "" in map(_text, values):
            raise click.BadParameter(
                "it is empty; leave it out, or check that the variable it comes from is set",
                context,
                parameter,
            )
        return self._inner(context, parameter, value) if self._inner else value


def _text(value: object) -> str | None:
    # click makes the path of the folder it is in from an empty text, and that is no file to read.
    if isinstance(value, Path):
        return "" if value == Path() else str(value).strip()
    return value.strip() if isinstance(value, str) else None
