# SPDX-License-Identifier: Apache-2.0
"""`gpushare enter`: add a running process to a share."""

import click

from gpushare.cli._connect import client
from gpushare.cli._options import share_argument
from gpushare.cli._strict import Number
from gpushare.model.view import EnterRequest


@click.command()
@share_argument
@click.option("--pid", metavar="PID", type=Number(1), required=True, help="The process.")
def enter(share: str, pid: int) -> None:
    """Add a running process of yours to SHARE, with what it starts from now on.

    The process ends with the share if that is removed with --force or its time is over. Its own
    environment stays as it is, so only programs that are started with the variables of
    `gpushare env` are limited. The output of `gpushare env` contains this command.

    \b
    gpushare enter notebook --pid $$
    """
    client().enter(share, EnterRequest(pid=pid))
