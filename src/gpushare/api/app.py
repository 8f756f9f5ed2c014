# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: reads requests, checks permissions, calls the Service, writes answers.

The way of a request:

1. `request_filter.RequestFilter` checks its size, origin, caller and rate, and stores the caller.
2. Starlette finds the endpoint that `_endpoint` made from a row of `routes.ROUTES`.
3. `audited` records the call when it ends, whatever the result. A call that changes something does
   not begin unless it can be recorded.
4. `permissions.requirement` decides whether the caller's role and scopes suffice. `_caller` is the
   only place that asks. Whether a share is the caller's own is for the service to decide.
5. The query and the body are decoded into the types of the route. Unknown fields are refused.
6. The service's answer is written with `apiVersion`.

Endpoints raise errors. The handlers below turn each into a status and a body with code, what,
because and hint; this is one of the two places where errors are shown. Events, metrics and the
OpenAPI document are not JSON answers of a route, so they have endpoints of their own, without a
body and without an audit record.
"""

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

from .audited import NoAudit, audited
from .events import stream
from .metrics import CONTENT_TYPE
from .openapi import document
from .permissions import requirement
from .quantities import converted
from .request_filter import FilterSettings, RequestFilter
from .responses import Lists, answered, refusal
from .route import Call, Route
from .routes import ROUTES

LARGEST_BODY = 64 * 1024
BODY_SECONDS = 10.0
_LARGEST = 2**63 - 1
_NO_AUDIT = NoAudit()
_NO_LIMITS = FilterSettings()
# A caller without a token, on the calls that need none: those about logins.
_ANONYMOUS = Caller(uid=-1, gid=-1, pid=0, role=Role.VIEWER, remote="", scopes=())


def build(
    service: Service, audit: Audit = _NO_AUDIT, settings: FilterSettings = _NO_LIMITS
) -> Starlette:
    """The application. A server sets the state that `RequestFilter` needs.

    `audit` receives every call of `ROUTES`.
    """
    lists = Lists()
    app = Starlette(
        routes=[_endpoint(service, audit, route, lists) for route in ROUTES]
        + _special_routes(service),
        middleware=[Middleware(RequestFilter, service.identity, audit, settings)],
        exception_handlers={
            GpushareError: _refused,
            msgspec.ValidationError: _invalid,
            HTTPException: _http_error,
            Exception: _failed,
        },
    )
    # A redirect would be built from the Host header, which the caller chooses.
    app.router.redirect_slashes = False
    return app


def _endpoint(service: Service, audit: Audit, route: Route, lists: Lists) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        ref = request.path_params.get("ref", "")
        with audited(audit, route.method, route.path, ref) as audited_call:
            audited_call.caller = request.state.caller
            # `_caller` runs first: without permission, no body is read.
            call = await _read(route, request, _caller(request, route.method, route.path))
            audited_call.body = call.body or call.query
            audited_call.answer = answer = await route.handle(service, call)
        known = request.headers.get("if-none-match", "") if route.method == "GET" else ""
        return answered(lists.body(answer), route.status, known)

    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _special_routes(service: Service) -> list[StarletteRoute]:
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
    """The caller. Raises UnauthenticatedError, RoleError if the caller has no permission."""
    caller: Caller | None = request.state.caller
    requirement(method, path).check(caller)
    return caller or _ANONYMOUS


async def _read(route: Route, request: Request, caller: Caller) -> Call:
    query = dict(request.query_params) if request.scope["query_string"] else {}
    return Call(
        caller=caller,
        ref=request.path_params.get("ref", ""),
        query=converted(query, route.query, strict=False) if route.query else None,
        body=_decoded(route, await _body(request)) if route.takes else None,
    )


def _decoded(route: Route, body: bytes) -> Any:
    """Raises BadSpecError, and ValidationError for fields that the route does not take."""
    try:
        decoded = msgspec.json.decode(body)
        _check_numbers(decoded)
        return converted(decoded, route.takes)
    except RecursionError as error:
        raise BadSpecError(
            "the request is not JSON of this API", "it is nested too deep"
        ) from error
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        raise BadSpecError("the request is not JSON", str(error)) from error


def _check_numbers(value: Any) -> None:
    """Raises BadSpecError for an integer that neither the state file nor the C code can hold."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_numbers(item)
    elif isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        raise BadSpecError("a number is too large", f"numbers have at most {_LARGEST}")


async def _body(request: Request) -> bytes:
    # Starlette limits neither the size nor the time of a body.
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise BadSpecError(
                        "the request is too large", f"a body has at most {LARGEST_BODY} bytes"
                    )
    except TimeoutError:
        raise UsageError("the request body did not arrive", f"within {BODY_SECONDS:g} s") from None
    return bytes(body)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, GpushareError)
    return refusal(error)


async def _invalid(request: Request, error: Exception) -> Response:
    bad_spec = BadSpecError("the request is invalid", str(error), "see GET /v1/openapi.json")
    return await _refused(request, bad_spec)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = NotFoundError if error.status_code == NotFoundError.status else UsageError
    refused = kind(
        f"{request.method} {request.url.path}: {error.detail}", hint="GET /v1/openapi.json"
    )
    return refusal(refused, error.status_code)


async def _failed(_: Request, error: Exception) -> Response:
    kind = type(error).__name__
    failure = GpushareError(
        "the daemon failed on this request", f"{kind}: {error}", "see the daemon's log"
    )
    return refusal(failure)
