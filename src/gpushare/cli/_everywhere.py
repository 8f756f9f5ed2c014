# SPDX-License-Identifier: Apache-2.0
"""What every command takes, before its name or after it: `--color` and `--utc`; and files."""

from typing import TYPE_CHECKING, Any

import click

from ._format import colours, times

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _choose_colour(_: click.Context, __: click.Parameter, mode: str | None) -> None:
    if mode is not None:
        colours.choose(mode)


def _choose_utc(_: click.Context, __: click.Parameter, *, given: bool) -> None:
    if given:
        times.show_utc()


def _options(**how: Any) -> list[click.Option]:
    return [
        # Eager: an error about another option has the colours that were asked for.
        click.Option(
            ["--color"],
            type=click.Choice(colours.MODES),
            expose_value=False,
            is_eager=True,
            callback=_choose_colour,
            help="Colour output: auto (on a terminal), always or never. Also after COMMAND.",
            **how,
        ),
        click.Option(
            ["--utc"],
            is_flag=True,
            expose_value=False,
            callback=lambda context, option, given: _choose_utc(context, option, given=given),
            help="Show times in UTC instead of local time. Also after COMMAND.",
            **how,
        ),
    ]


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Files, for options that click does not know to be files."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    return [CompletionItem(incomplete, type="file")]


def shared_options(command: click.Command, *, hidden: bool = False) -> click.Command:
    """The command with these options."""
    known = {parameter.name for parameter in command.params}
    command.params += [it for it in _options(hidden=hidden) if it.name not in known]
    return command


def also_after(command: click.Command) -> click.Command:
    """As `shared_options`, with its subcommands; their help does not repeat the options."""
    shared_options(command, hidden=True)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            also_after(inner)
    return command
