# SPDX-License-Identifier: Apache-2.0
"""Commands that work on several shares."""

from collections.abc import Callable, Sequence

import click

from gpushare.cli._errors import report
from gpushare.config.printable import printable
from gpushare.model.errors import GpushareError


def for_each(context: click.Context, shares: Sequence[str], act: Callable[[str], str]) -> None:
    """Print the result of `act` for each share, and exit.

    An error is reported and does not stop the others; the exit code is that of the first error.
    """
    code = 0
    for share in shares:
        try:
            click.echo(printable(act(share)))
        except GpushareError as error:
            code = code or report(error)
    context.exit(code)
