# SPDX-License-Identifier: Apache-2.0
"""`gpushare suspend`: take shares off the GPU for a while."""

import click

from gpushare.cli._connect import client, complete_share
from gpushare.cli._errors import report
from gpushare.model.errors import GpushareError
from gpushare.model.units import parse_duration
from gpushare.model.view import MOVE_SECONDS


@click.command()
@click.argument("shares", nargs=-1, required=True, shell_complete=complete_share)
@click.option(
    "--deep", is_flag=True, help="By the driver's checkpoint: frees contexts too, but is slow."
)
@click.option("--timeout", metavar="TIME", help="Give up after this time; 60s unless said.")
@click.pass_context
def suspend(
    context: click.Context, shares: tuple[str, ...], timeout: str | None, *, deep: bool
) -> None:
    """Take the programs of SHARES off the GPU; they stand still until `gpushare resume`.

    What they have on the GPU goes to host memory, and others may have the room. A program does not
    notice: its memory comes back at the same addresses. When that fails, it runs on as before.

    \b
    gpushare suspend train-1
    gpushare suspend --deep train-1 train-2
    """
    seconds = parse_duration(timeout) if timeout else MOVE_SECONDS
    code = 0
    for share in shares:
        try:
            click.echo(client().suspend(share, deep=deep, timeout=seconds).name)
        except GpushareError as error:
            code = code or report(error)
    context.exit(code)
