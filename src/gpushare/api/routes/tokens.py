# SPDX-License-Identifier: Apache-2.0
"""Calls about tokens and logins."""

from gpushare.api.route import Call, Route
from gpushare.model.access.token import (
    Login,
    LoginRequest,
    NewToken,
    Token,
    TokenList,
    TokenRequest,
)
from gpushare.model.service import Service
from gpushare.model.value import Value


async def _list(service: Service, call: Call) -> Value:
    return TokenList(items=await service.tokens.list(call.caller))


async def _create(service: Service, call: Call) -> Value:
    return await service.tokens.create(call.body, call.caller)


async def _revoke(service: Service, call: Call) -> Value:
    return await service.tokens.revoke(call.ref, call.caller)


async def _where(service: Service, _: Call) -> Value:
    return await service.tokens.login()


async def _exchange(service: Service, call: Call) -> Value:
    return await service.tokens.exchange(call.body)


ROUTES = (
    Route("GET", "/v1/tokens", "List your tokens, without their secrets; admins see all",
          _list, TokenList),
    Route("POST", "/v1/tokens", "Create a token; only this answer has its secret",
          _create, NewToken, takes=TokenRequest, status=201),
    Route("DELETE", "/v1/tokens/{ref}", "Revoke a token, and tokens created with it",
          _revoke, Token),
    Route("GET", "/v1/login", "Show the login issuer; needs no token", _where, Login),
    Route("POST", "/v1/login", "Exchange the issuer's proof for a token; needs no token",
          _exchange, NewToken, takes=LoginRequest, status=201),
)  # fmt: skip
