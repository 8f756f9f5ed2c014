# SPDX-License-Identifier: Apache-2.0
"""JSON documents of a server that is trusted by its certificate."""

import ssl
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import msgspec

_PATIENCE_SECONDS = 10.0
_LARGEST = 1 << 20


class _NoDetours(HTTPRedirectHandler):
    """An answer from elsewhere is not the server's."""

    def redirect_request(self, *_: object) -> None:
        return None


def fetch(url: str) -> dict[str, Any]:
    """Raises OSError, ValueError; plain HTTP is for the machine itself only."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _here(parts.hostname or "")):
        raise ValueError(f"{url} is not https")
    opener = build_opener(_NoDetours, HTTPSHandler(context=ssl.create_default_context()))
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 (checked above)
    with opener.open(request, timeout=_PATIENCE_SECONDS) as answer:
        text = answer.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"{url} is larger than {_LARGEST} bytes")
    found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    return found


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
