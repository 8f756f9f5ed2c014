# SPDX-License-Identifier: Apache-2.0
"""`gpushare logout`: delete and revoke the stored token for a daemon."""

import click

from gpushare.model.errors import GpushareError

from ._remote_daemon import remote_daemon


@click.command()
@click.argument("host", required=False)
def logout(host: str | None) -> None:
    """Delete the stored token for HOST, and revoke it there.

    \b
    gpushare logout gpu1.lab
    """
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    remote, stored = remote_daemon(host)
    token = stored.get(remote.host, remote.port)
    if token is None:
        click.echo(f"gpushare: no token for {remote} is stored", err=True)
        return
    # Deleted first, so that it is gone even if the daemon cannot be reached.
    stored.remove(remote.host, remote.port)
    try:
        Client(remote).tokens.revoke(token.split("_")[1])
    except (GpushareError, IndexError) as error:
        click.echo(f"gpushare: the token is deleted here, but not revoked: {error}", err=True)
    else:
        click.echo(f"gpushare: the token for {remote} is deleted and revoked", err=True)
