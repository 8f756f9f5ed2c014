# SPDX-License-Identifier: Apache-2.0
"""`gpushare migrate`: move a share to another GPU."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.shares import share_name
from gpushare.cli._options import share_argument
from gpushare.config.printable import printable
from gpushare.model.units import parse_duration
from gpushare.model.view import MOVE_SECONDS


@click.command()
@share_argument
@click.option(
    "--to",
    "to",
    metavar="GPU",
    multiple=True,
    help="Target GPU, by index or UUID. Default: the best one.",
)
@click.option("--timeout", metavar="TIME", help="Give up after this time. Default: 60s.")
def migrate(share: str, to: tuple[str, ...], timeout: str | None) -> None:
    """Move the programs of SHARE to another GPU of the same model.

    The driver checkpoints the programs and restores them on the other GPU, at the same addresses.
    To the programs it looks like a slow call. If it fails, they continue on their GPU. For a share
    with several GPUs, give --to once for each.

    \b
    gpushare migrate train-1
    gpushare migrate train-1 --to 3
    """
    seconds = parse_duration(timeout) if timeout else MOVE_SECONDS
    click.echo(printable(share_name(client().migrate(share, to, timeout=seconds))))
