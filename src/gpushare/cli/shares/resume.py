# SPDX-License-Identifier: Apache-2.0
"""`gpushare resume`: put suspended shares back."""

import time

import click

from gpushare.cli._connect import client, complete_share
from gpushare.cli._errors import report
from gpushare.model.errors import GpushareError, NoCapacityError
from gpushare.model.units import parse_duration
from gpushare.model.view import MOVE_SECONDS, ShareView

_PAUSE_SECONDS = 1.0


@click.command()
@click.argument("shares", nargs=-1, required=True, shell_complete=complete_share)
@click.option("--no-wait", is_flag=True, help="Fail with exit code 75 while others have the room.")
@click.option("--timeout", metavar="TIME", help="Wait for room at most this long.")
@click.pass_context
def resume(
    context: click.Context, shares: tuple[str, ...], timeout: str | None, *, no_wait: bool
) -> None:
    """Put SHARES back on the GPU, waiting for room where others have taken it.

    \b
    gpushare resume train-1
    gpushare resume --no-wait train-1
    """
    seconds = 0.0 if no_wait else float(parse_duration(timeout)) if timeout else float("inf")
    code = 0
    for share in shares:
        try:
            click.echo(_resume(share, time.monotonic() + seconds).name)
        except GpushareError as error:
            code = code or report(error)
    context.exit(code)


def _resume(share: str, deadline: float) -> ShareView:
    """Resumed, or NoCapacityError at the deadline; says once what it waits for."""
    shown = ""
    while True:
        try:
            return client().resume(share, timeout=MOVE_SECONDS)
        except NoCapacityError as error:
            if time.monotonic() >= deadline:
                raise
            if error.because != shown:
                click.echo(f"gpushare: {share}: {error.because}", err=True)
            shown = error.because
            time.sleep(_PAUSE_SECONDS)
