# SPDX-License-Identifier: Apache-2.0
"""The ASGI application over a Service: reads requests, writes answers and errors."""

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from gpushare.model.audit import Audit
from gpushare.model.errors import BadSpecError, GpushareError, NotFoundError, UsageError
from gpushare.model.service import Service
from gpushare.model.share import Caller

from .audited import Unheard, audited
from .events import stream
from .metrics import CONTENT_TYPE
from .openapi import document
from .route import Call, Route
from .routes import ROUTES

LARGEST_BODY = 64 * 1024
API_VERSION = "v1"
_UNHEARD = Unheard()


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode({"apiVersion": API_VERSION, **content})


def build(service: Service, audit: Audit = _UNHEARD) -> Starlette:
    """The application. Every request's scope carries its caller: see `server.PeerProtocol`.

    `audit` hears of every call.
    """
    app = Starlette(
        routes=[_served(service, audit, route) for route in ROUTES] + _special(service),
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
            sight.caller = _caller(request)
            call = await _read(route, request)
            sight.body = call.body or call.query
            sight.answer = answer = await route.handle(service, call)
        return JsonResponse(msgspec.structs.asdict(answer), route.status)

    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _special(service: Service) -> list[StarletteRoute]:
    async def events(request: Request) -> Response:
        return stream(service, request, _caller(request))

    async def metrics(_: Request) -> Response:
        return Response(await service.metrics(), media_type=CONTENT_TYPE)

    async def openapi(_: Request) -> Response:
        return Response(msgspec.json.encode(document()), media_type="application/json")

    return [
        StarletteRoute("/v1/events", events),
        StarletteRoute("/v1/metrics", metrics),
        StarletteRoute("/v1/openapi.json", openapi),
    ]


async def _read(route: Route, request: Request) -> Call:
    query = dict(request.query_params)
    return Call(
        caller=_caller(request),
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
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BadSpecError(
                "the request is too large", f"a body has {LARGEST_BODY} bytes at most"
            )
    return bytes(body)


def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, GpushareError)
    return JsonResponse({"error": error.body()}, error.status)


async def _misread(request: Request, error: Exception) -> Response:
    found = BadSpecError("the request does not fit", str(error), "see GET /v1/openapi.json")
    return await _refused(request, found)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = NotFoundError if error.status_code == NotFoundError.status else UsageError
    found = kind(
        f"{request.method} {request.url.path}: {error.detail}", hint="GET /v1/openapi.json"
    )
    return JsonResponse({"error": found.body()}, error.status_code)


async def _broken(_: Request, error: Exception) -> Response:
    kind = type(error).__name__
    found = GpushareError("the daemon failed on this request", f"{kind}: {error}", "see its log")
    return JsonResponse({"error": found.body()}, found.status)
