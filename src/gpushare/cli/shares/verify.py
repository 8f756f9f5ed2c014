# SPDX-License-Identifier: Apache-2.0
"""`gpushare verify`: test whether the limits of a share hold."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import attacks as attack_rows
from gpushare.cli._format.shares import verification
from gpushare.cli._options import output_option, share_argument
from gpushare.model.errors import CheckFailedError, UntriedError
from gpushare.model.share import Verification


@click.command()
@share_argument
@click.option("--attacks", is_flag=True, help="Also list each attempt to get around a limit.")
@output_option
def verify(share: str, output: Output, *, attacks: bool) -> None:
    """Run a probe in SHARE that tries to exceed its limits.

    The probe tries every known way to allocate beyond the limit or to leave the share, and compares
    the result with what the mechanisms promise. What cannot be tried now is shown as untried, what
    is never tried as promised.

    Exit code 3 if a promise does not hold, 1 if nothing could be tried.

    \b
    gpushare verify train-1
    gpushare verify --attacks train-1
    gpushare verify train-1 -o json | jq '.findings[] | select(.dimension == "memory")'
    """
    result = client().verify(share)
    output.item(result, share, lambda: _text(result, attacks=attacks))
    _check(share, result)


def _text(result: Verification, *, attacks: bool) -> str:
    listed = f"\n\n{attack_rows(result)}" if attacks else ""
    return verification(result) + listed


def _check(share: str, result: Verification) -> None:
    """The result is printed in any case; the error only sets the exit code and a summary."""
    if result.broken:
        raise CheckFailedError(
            f"share {share} does not keep its limits",
            ", ".join(finding.dimension for finding in result.broken),
            f"gpushare show {share}",
        )
    if not result.ok:
        raise UntriedError(
            f"the limits of share {share} could not be tried",
            "; ".join(dict.fromkeys(finding.evidence for finding in result.untried)),
            f"try again later: gpushare verify {share}",
        )
