# SPDX-License-Identifier: Apache-2.0
"""`gpushare explain`: the meaning of an error code."""

from typing import TYPE_CHECKING

import click

from gpushare.cli._format.output import Column, Output, Table
from gpushare.model.errors import NotFoundError

from ._options import output_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gpushare.cli._format.error_texts import Explanation


def _codes(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    from gpushare.cli._format.error_texts import explanations  # noqa: PLC0415 (start-up time)

    matching = (each for each in explanations() if each.code.startswith(incomplete.upper()))
    return [CompletionItem(each.code, help=each.meaning) for each in matching]


@click.command()
@click.argument("code", required=False, shell_complete=_codes)
@output_option
def explain(code: str | None, output: Output) -> None:
    """Explain the error CODE, or list all error codes.

    \b
    gpushare explain GS1702
    gpushare explain
    """
    from gpushare.cli._format.error_texts import explanations  # noqa: PLC0415 (start-up time)

    by_code = {each.code: each for each in explanations()}
    if code is None:
        output.items(list(by_code.values()), _table())
        return
    if code.upper() not in by_code:
        raise NotFoundError(f"no error has the code {code!r}", hint="list them: gpushare explain")
    explanation = by_code[code.upper()]
    output.item(explanation, explanation.code, lambda: _format_explanation(explanation))


def _table() -> "Table[Explanation]":
    return Table(
        lambda each: each.code,
        Column("CODE", lambda each: each.code),
        Column("EXIT", lambda each: str(each.exit_code)),
        Column("MEANING", lambda each: each.meaning, least=20),
    )


def _format_explanation(explanation: "Explanation") -> str:
    again = "may be temporary" if explanation.retryable else "remains until something changes"
    lines = (
        f"{explanation.code} {explanation.name}: {explanation.meaning}",
        "",
        f"why   {explanation.why}",
        f"help  {explanation.help}",
        "",
        f"exit code {explanation.exit_code}, HTTP status {explanation.status}; the error {again}",
    )
    return "\n".join(lines)
