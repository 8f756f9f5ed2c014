# SPDX-License-Identifier: Apache-2.0
"""Calls about tokens and logins."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpushare.model.access.token import (
    Login,
    LoginRequest,
    NewToken,
    Token,
    TokenList,
    TokenRequest,
)
from gpushare.model.errors import NoSuchTokenError

from .paths import segment

_SECONDS = 60.0


class TokenCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def create(self, request: TokenRequest) -> NewToken:
        """Create a token; only this answer has its secret. Raises RoleError, UsageError."""
        new_token: NewToken = self._call("POST", "/v1/tokens", NewToken, body=request)
        return new_token

    def list(self) -> Sequence[Token]:
        """The caller's tokens; all tokens for admins."""
        page: TokenList = self._call("GET", "/v1/tokens", TokenList)
        return page.items

    def revoke(self, token: str) -> Token:
        """Revoke a token by its id. Raises NoSuchTokenError."""
        missing = NoSuchTokenError(f"no token {token!r}", hint="gpushare token ls")
        target = f"/v1/tokens/{segment(token, missing)}"
        token_view: Token = self._call("DELETE", target, Token)
        return token_view

    def login(self) -> Login:
        """The machine's login issuer; needs no token."""
        login: Login = self._call("GET", "/v1/login", Login)
        return login

    def exchange(self, proof: str) -> NewToken:
        """Exchange the issuer's proof for a token. Raises UnauthenticatedError."""
        request = LoginRequest(proof=proof)
        new_token: NewToken = self._call("POST", "/v1/login", NewToken, body=request)
        return new_token
