# SPDX-License-Identifier: Apache-2.0
"""`gpushare create`: create a share without running a program in it."""

import os
from pathlib import Path

import click
from msgspec.structs import replace

from gpushare.cli._connect import own_daemon
from gpushare.cli._format.output import Output
from gpushare.cli._options import output_option, spec_options
from gpushare.cli._reconnect import reconnect_option, reconnecting
from gpushare.model.spec import ShareSpec
from gpushare.model.units import parse_duration
from gpushare.model.view import CreateRequest
from gpushare.session.acquire import acquire

from ._launch import QueueProgress, warn_unenforced


@click.command()
@spec_options
@click.option(
    "--no-wait", is_flag=True, help="Fail with exit code 75 instead of waiting in the queue."
)
@click.option("--queue", is_flag=True, help="Return immediately, even while the share is queued.")
@click.option("--timeout", metavar="TIME", help="Wait in the queue for at most this long.")
@reconnect_option
@output_option
def create(
    spec: ShareSpec,
    timeout: str | None,
    output: Output,
    *,
    reconnect: float,
    no_wait: bool,
    queue: bool,
) -> None:
    """Create a share and print its name. It lasts until it is removed or its --ttl ends.

    \b
    gpushare create -m 8GiB --name notebook --ttl 8h
    gpushare create -m 40GiB --name demo --at 14:00 --for 2h
    gpushare exec notebook -- jupyter lab
    eval "$(gpushare env notebook)"
    """
    request = CreateRequest(spec=spec, wait=not no_wait)
    queue_timeout = parse_duration(timeout) if timeout else None
    own = own_daemon()
    daemon = own.client()
    if queue or spec.at is not None:
        share = daemon.create(request)
    else:
        # Without it, a share would stay in the queue whose caller was killed.
        here = isinstance(daemon.where, Path)
        request = replace(request, waiter=os.getpid() if here else None)
        with (
            QueueProgress() as progress,
            acquire(
                daemon,
                request,
                timeout=queue_timeout,
                on_wait=progress,
                reconnect=reconnecting(reconnect, progress.done, revive=own.again),
            ) as share,
        ):
            progress.done()
            warn_unenforced(share)
    output.item(share, share.name, lambda: share.name)
