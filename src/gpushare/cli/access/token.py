# SPDX-License-Identifier: Apache-2.0
"""`gpushare token`: access tokens for remote callers."""

import os
from datetime import UTC, datetime

import click

from gpushare.cli._connect import client
from gpushare.cli._format.ages import age
from gpushare.cli._format.output import Column, Output, Table
from gpushare.cli._format.shares import NONE
from gpushare.cli._format.times import moment
from gpushare.cli._options import output_option
from gpushare.model.access.role import Role
from gpushare.model.access.token import DEFAULT_TTL, LONGEST_TTL, SHORTEST_TTL, Token, TokenRequest
from gpushare.model.errors import BadQuantityError
from gpushare.model.units import Seconds, parse_duration


@click.group()
def token() -> None:
    """Manage access tokens for remote callers."""


@token.command()
@click.option("--user", help="User of the token, by name or uid. Other users: admins only.")
@click.option(
    "--role", type=click.Choice([*map(str, Role)]), help="Role of the token, at most your own."
)
@click.option(
    "--scope",
    "scopes",
    metavar="NOUN:VERB",
    multiple=True,
    help="Allow only this scope, such as metrics:read. Can be repeated. Default: all scopes of the"
    " role except tokens:write.",
)
@click.option("--ttl", metavar="TIME", help="Lifetime, such as 12h; at most 365d. Default: 30d.")
@click.option("--note", default="", help="Note on the purpose of the token.")
@output_option
def create(
    *,
    user: str | None,
    role: str | None,
    scopes: tuple[str, ...],
    ttl: str | None,
    note: str,
    output: Output,
) -> None:
    """Create a token and print it. The daemon stores only its hash and cannot show it again.

    \b
    gpushare token create --ttl 8h --note laptop > token && chmod 600 token
    gpushare token create --role viewer --scope metrics:read --note prometheus
    gpushare token create --user lin --role user
    """
    new_token = client().tokens.create(
        TokenRequest(
            user=user,
            role=Role(role) if role else None,
            scopes=scopes,
            ttl=_ttl(ttl),
            note=note,
        )
    )
    output.item(new_token, new_token.token.id, lambda: new_token.secret)
    # Not when stdout is a file or a pipe: the token is stored there.
    if os.isatty(1):
        click.echo(
            "gpushare: the token is shown only once; store it where no one else can read it",
            err=True,
        )


@token.command()
@output_option
def ls(*, output: Output) -> None:
    """List your tokens, without their secrets. Admins see all tokens.

    \b
    gpushare token ls
    gpushare token ls -o json | jq '.items[] | {id, user, expires}'
    """
    output.items(client().tokens.list(), _table(datetime.now(UTC)))


@token.command()
@click.argument("tokens", metavar="ID...", nargs=-1, required=True)
def revoke(tokens: tuple[str, ...]) -> None:
    """Revoke tokens by their ids, and the tokens that were created with them.

    \b
    gpushare token revoke 3f9c20d1a5b7
    """
    daemon = client()
    for token_id in tokens:
        revoked = daemon.tokens.revoke(token_id)
        click.echo(f"gpushare: token {revoked.id} of {revoked.user} is revoked", err=True)


def _ttl(text: str | None) -> Seconds:
    ttl = DEFAULT_TTL if text is None else parse_duration(text)
    if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        raise BadQuantityError("lifetime of a token", str(text), "from 60s to 365d")
    return ttl


def _table(now: datetime) -> Table[Token]:
    return Table(
        lambda token: token.id,
        Column("ID", lambda t: t.id),
        Column("USER", lambda t: t.user, least=8),
        Column("ROLE", lambda t: t.role),
        Column("EXPIRES", lambda t: _left(t, now)),
        Column("USED", lambda t: f"{age(now - t.used)} ago" if t.used else "never", drop=1),
        Column("CREATED", lambda t: moment(t.created), wide=True),
        Column("SCOPES", lambda t: ",".join(t.scopes), wide=True),
        Column("MADE WITH", lambda t: t.parent or NONE, wide=True),
        Column("NOTE", lambda t: t.note, least=12),
    )


def _left(token: Token, now: datetime) -> str:
    return f"in {age(token.expires - now)}" if token.expires > now else "expired"
