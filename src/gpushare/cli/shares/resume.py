# SPDX-License-Identifier: Apache-2.0
"""`gpushare resume`: put suspended shares back."""

import time
from functools import partial

import click

from gpushare.cli._connect import client, complete_share
from gpushare.cli._each import for_each
from gpushare.cli._format.output import note
from gpushare.cli._format.shares import share_name
from gpushare.model.errors import NoCapacityError
from gpushare.model.units import parse_duration
from gpushare.model.view import MOVE_SECONDS, ShareView

from ._progress import with_progress

_PAUSE_SECONDS = 1.0


@click.command()
@click.argument("shares", nargs=-1, required=True, shell_complete=complete_share)
@click.option("--no-wait", is_flag=True, help="Fail with exit code 75 if the GPU has no room.")
@click.option("--timeout", metavar="TIME", help="Wait for room for at most this long.")
@click.pass_context
def resume(
    context: click.Context, shares: tuple[str, ...], timeout: str | None, *, no_wait: bool
) -> None:
    """Move suspended SHARES back to the GPU, and wait for room if other shares use it.

    \b
    gpushare resume train-1
    gpushare resume --no-wait train-1
    """
    seconds = 0.0 if no_wait else float(parse_duration(timeout)) if timeout else float("inf")
    for_each(context, shares, lambda share: share_name(_resume(share, time.monotonic() + seconds)))


def _resume(share: str, deadline: float) -> ShareView:
    """Resume the share, or raise NoCapacityError at the deadline. Prints each reason to wait."""
    daemon, reason = client(), ""
    act = partial(daemon.resume, share, timeout=MOVE_SECONDS)
    while True:
        try:
            return with_progress(daemon, share, act)
        except NoCapacityError as error:
            if time.monotonic() >= deadline:
                raise
            if error.because != reason:
                note(f"{share}: {error.because}")
            reason = error.because
            time.sleep(_PAUSE_SECONDS)
