# SPDX-License-Identifier: Apache-2.0
"""No option of any command takes an empty text for a value, or digits of other scripts."""

from collections.abc import Iterator

import click
import pytest

from gpushare.cli._group import VERBS, VerbGroup, Verbs
from gpushare.cli._strict import Number

MAY_BE_EMPTY = {("daemon", "listen")}


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(f"{path} {name}", inner)


COMMANDS = [found for verb in VERBS for found in _commands(verb, Verbs()[verb])]
OPTIONS = [
    pytest.param(path, command, option, id=f"{path} {option.opts[-1]}")
    for path, command in COMMANDS
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag
]


@pytest.mark.parametrize(("path", "command", "option"), OPTIONS)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_is_no_value(
    path: str, command: click.Command, option: click.Option, text: str
) -> None:
    given = [option.opts[-1], text]
    if (path, option.name) in MAY_BE_EMPTY:
        command.make_context(path, given)
        return
    with pytest.raises(click.BadParameter):
        command.make_context(path, given)


def test_an_empty_option_of_the_program_itself_is_refused() -> None:
    root = VerbGroup(name="gpushare", params=[click.Option(["--socket"])])
    with pytest.raises(click.BadParameter):
        root.make_context("gpushare", ["--socket", ""])


@pytest.mark.parametrize(("path", "command", "option"), OPTIONS)
def test_every_number_is_read_in_plain_digits(
    path: str, command: click.Command, option: click.Option
) -> None:
    numeric = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
    if not numeric and not isinstance(option.type, click.IntRange | click.FloatRange):
        return
    assert isinstance(option.type, Number), path
    for text in ("\u0663", "\u0661\u0662", "1_0", "0x3", "3.0", ""):
        with pytest.raises(click.BadParameter):
            command.make_context(path, [option.opts[-1], text])
