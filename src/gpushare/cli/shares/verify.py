# SPDX-License-Identifier: Apache-2.0
"""`gpushare verify`: prove that a share's limits hold."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import verification
from gpushare.cli._options import output_option, share_argument
from gpushare.model.errors import CheckFailedError


@click.command()
@share_argument
@output_option
def verify(share: str, output: Output) -> None:
    """Start a probe inside SHARE that tries to break its limits.

    It tries every way to allocate past the limit and every escape a program has, and compares
    what it could do with what was promised. Exit code 3 when a promise does not hold.

    \b
    gpushare verify train-1
    gpushare verify train-1 -o json | jq '.findings[] | select(.dimension == "memory")'
    """
    result = client().verify(share)
    output.item(result, share, lambda: verification(result))
    if not result.ok:
        broken = ", ".join(finding.dimension for finding in result.findings if not finding.ok)
        raise CheckFailedError(
            f"share {share} does not hold what was promised",
            broken or "the probe could not prove it",
            f"gpushare show {share}",
        )
