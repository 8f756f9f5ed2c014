# SPDX-License-Identifier: Apache-2.0
"""JSON answers and errors."""

from collections import OrderedDict
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
    """Bodies of lists, rendered once as long as the service answers with the same values."""

    def __init__(self) -> None:
        self._rendered: OrderedDict[tuple[type, int], tuple[Value, Rendered]] = OrderedDict()

    def body(self, answer: Value) -> Rendered:
        """A list's; another answer is rendered each time."""
        items = getattr(answer, "items", None)
        if not isinstance(items, tuple):
            return _body(answer)
        # All empty tuples are one, so the kind of the answer is part of the key.
        key = type(answer), id(items)
        kept = self._rendered.get(key)
        if kept is None or not _same(kept[0], answer):
            # The answer is kept too, so no other tuple can get the identity of its items.
            kept = self._rendered[key] = answer, _body(answer)
            if len(self._rendered) > _MOST_LISTS:
                self._rendered.popitem(last=False)
        return kept[1]


def _same(one: Value, other: Value) -> bool:
    """Whether two lists of the same items are equal in what else they have."""
    names = (name for name in one.__struct_fields__ if name != "items")
    return all(getattr(one, name) == getattr(other, name) for name in names)


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
