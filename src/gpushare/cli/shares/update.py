# SPDX-License-Identifier: Apache-2.0
"""`gpushare update`: change a share while it lives."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._options import output_option, share_argument
from gpushare.model.errors import UsageError
from gpushare.model.spec import Priority
from gpushare.model.view import UpdateRequest
from gpushare.session.spec_options import changes

_NOTHING = UpdateRequest()


@click.command()
@share_argument
@click.option("-m", "--memory", metavar="SIZE", help="Limit per GPU: 8GiB, or 20% of it.")
@click.option("--memory-request", metavar="SIZE", help="Guaranteed part of the limit.")
@click.option("-c", "--compute", metavar="PERCENT", help="Limit of compute per GPU.")
@click.option("--compute-request", metavar="PERCENT", help="Guaranteed part of the limit.")
@click.option(
    "-p",
    "--priority",
    type=click.Choice([*map(str, Priority)]),
    help="Who goes first when the GPU is contended.",
)
@click.option("--ttl", metavar="TIME", help="End the share after this time from now.")
@output_option
def update(share: str, output: Output, **wishes: str | None) -> None:
    """Change limits, priority or time of SHARE; its programs go on.

    Compute and priority change within a tenth of a second. A memory limit below what is in use
    takes nothing away: it refuses what comes next.

    \b
    gpushare update train-1 -c 25
    gpushare update train-1 -p low --ttl 2h
    """
    wanted = changes(**wishes)
    if wanted == _NOTHING:
        raise UsageError("nothing to change", hint=f"gpushare update {share} --compute 50")
    found = client().update(share, wanted)
    output.item(found, found.name, lambda: found.name)
