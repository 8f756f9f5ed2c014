# SPDX-License-Identifier: Apache-2.0
"""Fetches JSON documents from a server that its certificate identifies."""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

import msgspec

from gpushare.config.address import is_loopback
from gpushare.config.https import send

_PATIENCE_SECONDS = 10.0
# Bytes. An issuer's documents are a few KiB; the bound keeps a wrong server from filling the
# memory.
_LARGEST = 1 << 20


def fetch(url: str) -> dict[str, Any]:
    """Raises OSError, ValueError; plain HTTP only from this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    ):
        raise ValueError(f"{url} is not https")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 (checked above)
    with send(request, _PATIENCE_SECONDS) as answer:
        # One byte more than allowed shows that the document is larger, without reading all of it.
        text = answer.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"{url} is larger than {_LARGEST} bytes")
    document: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    return document
