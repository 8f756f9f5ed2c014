# SPDX-License-Identifier: Apache-2.0
"""Tokens as typed calls."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from gpushare.model.access.token import (
    Login,
    LoginRequest,
    NewToken,
    Token,
    TokenList,
    TokenRequest,
)

_SECONDS = 60.0


class TokenCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def create(self, request: TokenRequest) -> NewToken:
        """The only time that its secret is told; raises RoleError, UsageError."""
        new_token: NewToken = self._call("POST", "/v1/tokens", NewToken, body=request)
        return new_token

    def list(self) -> Sequence[Token]:
        """One's own; an admin's are all."""
        page: TokenList = self._call("GET", "/v1/tokens", TokenList)
        return page.items

    def revoke(self, token: str) -> Token:
        """By its id; raises NoSuchTokenError."""
        target = f"/v1/tokens/{quote(token, safe='')}"
        token_view: Token = self._call("DELETE", target, Token)
        return token_view

    def login(self) -> Login:
        """Where people of that machine log in; needs no token."""
        login: Login = self._call("GET", "/v1/login", Login)
        return login

    def exchange(self, proof: str) -> NewToken:
        """A token for whom the issuer's proof names; needs none. Raises UnauthenticatedError."""
        request = LoginRequest(proof=proof)
        new_token: NewToken = self._call("POST", "/v1/login", NewToken, body=request)
        return new_token
