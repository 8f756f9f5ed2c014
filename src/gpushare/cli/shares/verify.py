# SPDX-License-Identifier: Apache-2.0
"""`gpushare verify`: test whether the limits of a share hold."""

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
    """Run a probe in SHARE that tries to exceed its limits.

    The probe tries every known way to allocate beyond the limit or to leave the share, and compares
    the result with what the mechanisms promise. Exit code 3 if a promise does not hold.

    \b
    gpushare verify train-1
    gpushare verify train-1 -o json | jq '.findings[] | select(.dimension == "memory")'
    """
    result = client().verify(share)
    output.item(result, share, lambda: verification(result))
    # The result is printed in any case; the error only sets the exit code and a summary.
    if not result.ok:
        broken = ", ".join(finding.dimension for finding in result.findings if not finding.ok)
        raise CheckFailedError(
            f"share {share} does not keep its limits",
            broken or "the probe gave no result",
            f"gpushare show {share}",
        )
