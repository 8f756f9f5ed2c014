# SPDX-License-Identifier: Apache-2.0
"""Tokens: the identity of a remote caller, what it may do, and for how long."""

from datetime import datetime
from typing import Annotated, Literal, NewType, Protocol

from msgspec import Meta

from gpushare.model.policy.tenant import DAY
from gpushare.model.share import Caller
from gpushare.model.units import Seconds
from gpushare.model.value import Value

from .role import Role

TokenId = NewType("TokenId", str)  # 12 lower-case hex digits

DEFAULT_TTL, LONGEST_TTL, SHORTEST_TTL = Seconds(30 * DAY), Seconds(365 * DAY), Seconds(60)
LONGEST_NOTE = 200


class Token(Value):
    """What is known of a token; its secret is not.

    `user` is the user it acts as, `maker` the uid that made it, `parent` the token that it was
    made with. `used` is the time of its last use, to some minutes.
    """

    id: TokenId
    user: str
    uid: int
    role: Role
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime
    maker: int
    parent: TokenId | None = None
    used: datetime | None = None
    note: str = ""


class TokenRequest(Value):
    """`user`: whose token it is, by name or uid; None: the caller's. `role` None: the user's, at
    most the caller's. `scopes` empty: all that the role needs, except making tokens.
    """

    user: str | None = None
    role: Role | None = None
    scopes: tuple[str, ...] = ()
    ttl: Annotated[Seconds, Meta(ge=SHORTEST_TTL, le=LONGEST_TTL)] = DEFAULT_TTL
    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] = ""


class NewToken(Value):
    """`secret` is what a caller brings; it is shown this once and kept nowhere."""

    token: Token
    secret: str

    def __repr__(self) -> str:
        return f"NewToken({self.token!r})"


class TokenList(Value):
    items: tuple[Token, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class Login(Value):
    """Where people log in; `issuer` empty: nowhere, there are only tokens."""

    issuer: str = ""
    client: str = ""


class LoginRequest(Value):
    """`proof`: the signed token that the issuer gave."""

    proof: Annotated[str, Meta(max_length=32_768)]

    def __repr__(self) -> str:
        return "LoginRequest()"


class TokenService(Protocol):
    """Methods raise errors of `model.errors`."""

    async def create(self, request: TokenRequest, caller: Caller) -> NewToken: ...

    async def list(self, caller: Caller) -> tuple[Token, ...]:
        """The caller's own; an admin's are all."""
        ...

    async def revoke(self, token: str, caller: Caller) -> Token:
        """Revoke it, and all tokens that were made with it."""
        ...

    async def login(self) -> Login: ...

    async def exchange(self, request: LoginRequest) -> NewToken:
        """A token for the user that an issuer names; raises UnauthenticatedError."""
        ...


class Identity(Protocol):
    """Identifies callers."""

    async def know(self, peer: Caller) -> None:
        """Called before `local`, which does not wait."""
        ...

    def local(self, peer: Caller) -> Caller:
        """As the kernel names the peer, with the role that they have here."""
        ...

    def bearer(self, secret: str, address: str) -> Caller:
        """Who brings this from there; raises UnauthenticatedError."""
        ...

    async def ended(self, caller: Caller) -> None:
        """Return when the caller's token is revoked or has expired."""
        ...
