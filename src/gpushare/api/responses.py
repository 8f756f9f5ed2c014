# SPDX-License-Identifier: Apache-2.0
"""JSON answers and errors."""

from collections import deque
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from gpushare.model.errors import GpushareError, RateLimitedError, UnauthenticatedError
from gpushare.model.value import Value

API_VERSION = "v1"
_MOST_LISTS = 8  # a list of 500 shares has a megabyte


class Rendered(NamedTuple):
    """`tag`: differs for bodies that differ (RFC 9110, 8.8.3)."""

    content: bytes
    tag: str


class Lists:
    """Bodies of lists, rendered once as long as the service answers with equal values."""

    def __init__(self) -> None:
        self._rendered: deque[tuple[Value, Rendered]] = deque(maxlen=_MOST_LISTS)

    def body(self, answer: Value) -> Rendered:
        """A list's; another answer is rendered each time."""
        if not isinstance(getattr(answer, "items", None), tuple):
            return _body(answer)
        # To compare costs much less than to render, above all with what is the same object.
        for other, body in self._rendered:
            if type(other) is type(answer) and other == answer:
                return body
        body = _body(answer)
        self._rendered.append((answer, body))
        return body


def _body(answer: Value) -> Rendered:
    content = msgspec.json.encode({"apiVersion": API_VERSION, **msgspec.structs.asdict(answer)})
    return Rendered(content, f'"{blake2b(content, digest_size=12).hexdigest()}"')


def answered(body: Rendered, status: int, known: str = "") -> Response:
    """`known`: tags of bodies that the caller has (If-None-Match)."""
    if body.tag in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": body.tag})
    return Response(body.content, status, headers={"ETag": body.tag}, media_type="application/json")


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """With `apiVersion` first."""
        return msgspec.json.encode({"apiVersion": API_VERSION, **content})


def refusal(error: GpushareError, status: int | None = None) -> Response:
    """The response for an error. `status` replaces the error's own status."""
    return JsonResponse({"error": error.body()}, status or error.status, headers=_headers(error))


def _headers(error: GpushareError) -> dict[str, str]:
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(error.after)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthenticatedError) else {}
