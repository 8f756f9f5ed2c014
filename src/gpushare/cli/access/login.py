# SPDX-License-Identifier: Apache-2.0
"""`gpushare login`: store a token for a daemon on another machine, readable by its user only."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._format.output import note
from gpushare.model.errors import UnsupportedError

from ._remote_daemon import remote_daemon

if TYPE_CHECKING:
    from gpushare.client import Client
    from gpushare.config.address import Remote


@click.command()
@click.argument("host")
@click.option("--oidc", is_flag=True, help="Log in at the daemon's OpenID Connect issuer.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust only this certificate authority. Later commands: GPUSHARE_CA or a context.",
)
def login(host: str, *, oidc: bool, ca: Path | None) -> None:
    """Read a token for HOST (an address or a context) from stdin, test it, and store it.

    \b
    gpushare login gpu1.lab:7443 < token
    gpushare login gpu1.lab --oidc
    GPUSHARE_HOST=gpu1.lab gpushare ps
    """
    remote, stored = remote_daemon(host, ca)
    token = _token_from_issuer(remote) if oidc else _token_from_stdin(remote)
    remote = replace(remote, token=token)
    # Tested before it is stored: a wrong token should fail here.
    version = _client(remote).version()
    path = stored.put(remote.host, remote.port, token)
    click.echo(
        f"gpushare: logged in to {remote} (gpushare {version.version}); token stored in {path}",
        err=True,
    )


def _token_from_stdin(remote: "Remote") -> str:
    from gpushare.config.credentials import checked  # noqa: PLC0415 (start-up time)

    if sys.stdin.isatty():
        text = click.prompt(f"Token for {remote}", hide_input=True, err=True)
    else:
        text = sys.stdin.readline(4096)
    return checked(text.strip(), "stdin")


def _token_from_issuer(remote: "Remote") -> str:
    from gpushare.session.device_login import login_proof  # noqa: PLC0415 (start-up time)

    anonymous = _client(replace(remote, token=None))
    login_info = anonymous.tokens.login()
    if not login_info.issuer:
        raise UnsupportedError(
            f"{remote} has no OpenID Connect issuer",
            "its setting oidc_issuer is empty",
            f"gpushare login {remote.host} < token",
        )
    return anonymous.tokens.exchange(
        login_proof(login_info.issuer, login_info.client, _show_code)
    ).secret


def _show_code(page: str, code: str) -> None:
    note(f"open {page} and enter {code}")


def _client(remote: "Remote") -> "Client":
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    return Client(remote)
