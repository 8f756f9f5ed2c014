# SPDX-License-Identifier: Apache-2.0
"""`gpushare login`: a token for a daemon on another machine, stored where only you can read it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.model.errors import UnsupportedError

from ._remote_daemon import meant

if TYPE_CHECKING:
    from gpushare.client import Client
    from gpushare.config.address import Remote


@click.command()
@click.argument("host")
@click.option("--oidc", is_flag=True, help="Log in at the issuer that the daemon believes.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust certificates of this authority only, now; later GPUSHARE_CA or a context says it.",
)
def login(host: str, *, oidc: bool, ca: Path | None) -> None:
    """Store a token for HOST, an address or a context; it is read from stdin and tried first.

    \b
    gpushare login gpu1.lab:7443 < token
    gpushare login gpu1.lab --oidc
    GPUSHARE_HOST=gpu1.lab gpushare ps
    """
    there, stored = meant(host, ca)
    token = _by_issuer(there) if oidc else _typed(there)
    there = replace(there, token=token)
    version = _client(there).version()
    path = stored.put(there.host, there.port, token)
    click.echo(
        f"gpushare: {there} knows you (gpushare {version.version}); the token is in {path}",
        err=True,
    )


def _typed(there: "Remote") -> str:
    from gpushare.config.credentials import checked  # noqa: PLC0415 (start-up time)

    if sys.stdin.isatty():
        text = click.prompt(f"Token for {there}", hide_input=True, err=True)
    else:
        text = sys.stdin.readline(4096)
    return checked(text.strip(), "stdin")


def _by_issuer(there: "Remote") -> str:
    from gpushare.session.device_login import proof  # noqa: PLC0415 (start-up time)

    nobody = _client(replace(there, token=None))
    where = nobody.tokens.login()
    if not where.issuer:
        raise UnsupportedError(
            f"{there} believes no issuer",
            "its setting oidc_issuer is empty",
            f"gpushare login {there.host} < token",
        )
    return nobody.tokens.exchange(proof(where.issuer, where.client, _told)).secret


def _told(page: str, code: str) -> None:
    click.echo(f"gpushare: open {page} and enter {code}", err=True)


def _client(there: "Remote") -> "Client":
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    return Client(there)
