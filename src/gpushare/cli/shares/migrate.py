# SPDX-License-Identifier: Apache-2.0
"""`gpushare migrate`: move a share to another GPU."""

import click

from gpushare.cli._connect import client
from gpushare.cli._options import share_argument
from gpushare.model.units import parse_duration
from gpushare.model.view import MOVE_SECONDS


@click.command()
@share_argument
@click.option(
    "--to", "to", metavar="GPU", multiple=True, help="Index or UUID; the best one unless said."
)
@click.option("--timeout", metavar="TIME", help="Give up after this time; 60s unless said.")
def migrate(share: str, to: tuple[str, ...], timeout: str | None) -> None:
    """Move the programs of SHARE to another GPU of the same model.

    The driver takes them off the GPU and restores them on the other one, at the same addresses;
    they only see that a call took long. When that fails, they run on where they were. For a share
    of several GPUs --to is said once for each.

    \b
    gpushare migrate train-1
    gpushare migrate train-1 --to 3
    """
    seconds = parse_duration(timeout) if timeout else MOVE_SECONDS
    click.echo(client().migrate(share, to, timeout=seconds).name)
