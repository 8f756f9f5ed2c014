# SPDX-License-Identifier: Apache-2.0
"""`gpushare create`: hold a share without a program."""

import click

from gpushare.client.take import until_granted
from gpushare.model.spec import ShareSpec
from gpushare.model.units import parse_duration
from gpushare.model.view import CreateRequest

from ._connect import client
from ._launch import Teller
from ._options import output_option, spec_options
from ._output import Output


@click.command()
@spec_options
@click.option("--no-wait", is_flag=True, help="Fail with exit code 75 instead of queueing.")
@click.option("--queue", is_flag=True, help="Return at once; the share may still be queued.")
@click.option("--timeout", metavar="TIME", help="Wait at most this long; the share stays queued.")
@output_option
def create(
    spec: ShareSpec, timeout: str | None, output: Output, *, no_wait: bool, queue: bool
) -> None:
    """Hold a share until it is removed or its --ttl ends, and print its name.

    \b
    gpushare create -m 8GiB --name notebook --ttl 8h
    gpushare exec notebook -- jupyter lab
    eval "$(gpushare env notebook)"
    """
    daemon = client()
    share = daemon.create(CreateRequest(spec=spec, wait=not no_wait))
    if not queue:
        teller = Teller()
        patience = parse_duration(timeout) if timeout else None
        share = until_granted(daemon, share, timeout=patience, told=teller)
        teller.done()
    output.item(share, share.name, lambda: share.name)
