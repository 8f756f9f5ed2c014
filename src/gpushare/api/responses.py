# SPDX-License-Identifier: Apache-2.0
"""JSON answers and errors."""

from typing import Any

import msgspec
from starlette.responses import Response

from gpushare.model.errors import GpushareError, RateLimitedError, UnauthenticatedError

API_VERSION = "v1"


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
