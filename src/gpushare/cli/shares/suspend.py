# SPDX-License-Identifier: Apache-2.0
"""`gpushare suspend`: move shares off the GPU."""

from functools import partial

import click

from gpushare.cli._connect import client, complete_share
from gpushare.cli._each import for_each
from gpushare.cli._format.shares import share_name
from gpushare.model.units import Seconds, parse_duration
from gpushare.model.view import MOVE_SECONDS

from ._progress import warn_unready, with_progress


@click.command()
@click.argument("shares", nargs=-1, required=True, shell_complete=complete_share)
@click.option(
    "--deep", is_flag=True, help="Use the driver's checkpoint: slower, but frees contexts too."
)
@click.option("--timeout", metavar="TIME", help="Give up after this time. Default: 60s.")
@click.pass_context
def suspend(
    context: click.Context, shares: tuple[str, ...], timeout: str | None, *, deep: bool
) -> None:
    """Move the memory of SHARES off the GPU and stop their programs until `gpushare resume`.

    GPU memory is copied to host memory, so that other shares can use the room. On resume it
    returns to the same addresses; programs need no change. If suspending fails, programs continue.
    stderr shows how far it is, and says before it begins when no host memory is ready for it.

    \b
    gpushare suspend train-1
    gpushare suspend --deep train-1 train-2
    """
    seconds = parse_duration(timeout) if timeout else MOVE_SECONDS
    for_each(context, shares, lambda share: _suspend(share, seconds, deep=deep))


def _suspend(share: str, seconds: Seconds, *, deep: bool) -> str:
    daemon = client()
    if not deep:
        warn_unready(daemon.show(share))
    act = partial(daemon.suspend, share, deep=deep, timeout=seconds)
    return share_name(with_progress(daemon, share, act))
