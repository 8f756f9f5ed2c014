# SPDX-License-Identifier: Apache-2.0
"""Requests to servers outside gpushare, such as the issuer of logins."""

from typing import Any
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener


class _NoRedirects(HTTPRedirectHandler):
    """The server that was named must answer itself: what it redirects to is not trusted."""

    def redirect_request(self, *_: object) -> None:
        return None


def send(request: Request, timeout: float) -> Any:
    """The response, a context manager. Raises OSError; HTTPError for an error or a redirect."""
    import ssl  # noqa: PLC0415 (start-up time)

    opener = build_opener(_NoRedirects, HTTPSHandler(context=ssl.create_default_context()))
    return opener.open(request, timeout=timeout)
