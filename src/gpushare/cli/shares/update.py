# SPDX-License-Identifier: Apache-2.0
"""`gpushare update`: change a live share."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import share_name
from gpushare.cli._options import change_options, output_option, share_argument
from gpushare.model.errors import UsageError
from gpushare.model.view import UpdateRequest

_NOTHING = UpdateRequest()


@click.command()
@share_argument
@change_options
@output_option
def update(share: str, change: UpdateRequest, output: Output) -> None:
    """Change the limits, priority or time of SHARE while its programs run.

    Compute and priority change within 0.1 s. A memory limit below current use frees no memory, but
    refuses further allocations.

    \b
    gpushare update train-1 -c 25
    gpushare update train-1 -p low --ttl 2h
    """
    if change == _NOTHING:
        raise UsageError("nothing to change", hint=f"gpushare update {share} --compute 50")
    updated = client().update(share, change)
    name = share_name(updated)
    output.item(updated, name, lambda: name)
