# SPDX-License-Identifier: Apache-2.0
"""The ASGI application over a Service: reads requests, asks whether they may, writes answers."""

import asyncio
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from gpushare.model.access.role import Role
from gpushare.model.audit import Audit
from gpushare.model.errors import BadSpecError, GpushareError, NotFoundError, UsageError
from gpushare.model.service import Service
from gpushare.model.share import Caller

from .audited import Unheard, audited
from .events import stream
from .metrics import CONTENT_TYPE
from .openapi import document
from .permissions import need
from .request_filter import Gate, Rules
from .responses import JsonResponse, refusal
from .route import Call, Route
from .routes import ROUTES

LARGEST_BODY = 64 * 1024
BODY_SECONDS = 10.0
_UNHEARD = Unheard()
_RULES = Rules()
_NOBODY = Caller(uid=-1, gid=-1, pid=0, role=Role.VIEWER, remote="", scopes=())


def build(service: Service, audit: Audit = _UNHEARD, rules: Rules = _RULES) -> Starlette:
    """The application; servers tell it where a request comes from, see `gate.Gate`.

    `audit` hears of every call.
    """
    app = Starlette(
        routes=[_served(service, audit, route) for route in ROUTES] + _special(service),
        middleware=[Middleware(Gate, service.identity, audit, rules)],
        exception_handlers={
            GpushareError: _refused,
            msgspec.ValidationError: _misread,
            HTTPException: _http_error,
            Exception: _broken,
        },
    )
    app.router.redirect_slashes = False
    return app


def _served(service: Service, audit: Audit, route: Route) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        ref = request.path_params.get("ref", "")
        with audited(audit, route.method, route.path, ref) as sight:
            sight.caller = request.state.caller
            call = await _read(route, request, _caller(request, route.method, route.path))
            sight.body = call.body or call.query
            sight.answer = answer = await route.handle(service, call)
        return JsonResponse(msgspec.structs.asdict(answer), route.status)

    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _special(service: Service) -> list[StarletteRoute]:
    async def events(request: Request) -> Response:
        return stream(service, request, _caller(request, "GET", "/v1/events"))

    async def metrics(request: Request) -> Response:
        caller = _caller(request, "GET", "/v1/metrics")
        return Response(await service.metrics(caller), media_type=CONTENT_TYPE)

    async def openapi(request: Request) -> Response:
        _caller(request, "GET", "/v1/openapi.json")
        return Response(msgspec.json.encode(document()), media_type="application/json")

    return [
        StarletteRoute("/v1/events", events),
        StarletteRoute("/v1/metrics", metrics),
        StarletteRoute("/v1/openapi.json", openapi),
    ]


def _caller(request: Request, method: str, path: str) -> Caller:
    """Who calls, if they may: the one place where that is asked."""
    caller: Caller | None = request.state.caller
    need(method, path).check(caller)
    return caller or _NOBODY


async def _read(route: Route, request: Request, caller: Caller) -> Call:
    query = dict(request.query_params)
    return Call(
        caller=caller,
        ref=request.path_params.get("ref", ""),
        query=msgspec.convert(query, route.query, strict=False) if route.query else None,
        body=_decoded(route, await _body(request)) if route.takes else None,
    )


def _decoded(route: Route, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body, type=route.takes)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        raise BadSpecError("the request is not JSON", str(error)) from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise BadSpecError(
                        "the request is too large", f"a body has {LARGEST_BODY} bytes at most"
                    )
    except TimeoutError:
        raise UsageError("the request did not arrive", f"in {BODY_SECONDS:g} s") from None
    return bytes(body)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, GpushareError)
    return refusal(error)


async def _misread(request: Request, error: Exception) -> Response:
    found = BadSpecError("the request does not fit", str(error), "see GET /v1/openapi.json")
    return await _refused(request, found)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = NotFoundError if error.status_code == NotFoundError.status else UsageError
    found = kind(
        f"{request.method} {request.url.path}: {error.detail}", hint="GET /v1/openapi.json"
    )
    return refusal(found, error.status_code)


async def _broken(_: Request, error: Exception) -> Response:
    kind = type(error).__name__
    found = GpushareError("the daemon failed on this request", f"{kind}: {error}", "see its log")
    return refusal(found)
