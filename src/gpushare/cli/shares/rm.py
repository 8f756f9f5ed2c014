# SPDX-License-Identifier: Apache-2.0
"""`gpushare rm`: release shares."""

import os
from pathlib import Path

import click

from gpushare.cli._connect import client, complete_share
from gpushare.cli._each import for_each
from gpushare.cli._format.output import note
from gpushare.cli._format.shares import share_name
from gpushare.session.log_files import delete


@click.command()
@click.argument("shares", nargs=-1, required=True, shell_complete=complete_share)
@click.option("-f", "--force", is_flag=True, help="End the programs in the share first.")
@click.pass_context
def rm(context: click.Context, shares: tuple[str, ...], *, force: bool) -> None:
    """Release SHARES that are queued or not in use. --force also releases shares in use.

    Shares that have ended are forgotten, and their logs are deleted.

    Programs in a share receive SIGTERM, and SIGKILL after 10 seconds. The calling shell and what
    cannot be shown to have entered the share are not ended; stderr names them.

    \b
    gpushare rm notebook
    gpushare rm -f train-1 train-2
    """
    for_each(context, shares, lambda share: _remove(share, force=force))


def _remove(share: str, *, force: bool) -> str:
    daemon = client()
    over = daemon.show(share).state.ended
    removed = daemon.remove(share, force=force)
    if over and removed.log is not None and isinstance(daemon.where, Path):
        delete(Path(removed.log), os.environ)
    for process in removed.spared:
        note(f"process {process.pid} was not ended: {process.because}")
    return share_name(removed)
