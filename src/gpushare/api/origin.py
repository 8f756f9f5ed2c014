# SPDX-License-Identifier: Apache-2.0
"""Keeps web pages of others from speaking to the daemon through a browser that can reach it."""

from collections.abc import Container, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from gpushare.model.errors import DeniedError


def check(headers: Mapping[str, str], names: Container[str] | None) -> None:
    """Raises DeniedError. `names`: what this machine is called; None: on a unix socket.

    A page whose own name was made to point here sends that name as Host (DNS rebinding); a page
    from elsewhere sends where it is from as Origin. No page is on a unix socket.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if names is not None and not _ours(host, names):
        raise DeniedError(
            f"this machine is not called {host!r}",
            "callers use its address, or a name from the setting hosts",
            "gpushare config show",
        )
    if origin is not None and (names is None or not _same(origin, host)):
        raise DeniedError(
            f"pages from {origin!r} may not ask", "only programs and pages of this machine may"
        )


def _same(origin: str, host: str) -> bool:
    scheme, _, place = origin.partition("://")
    return scheme in {"http", "https"} and place.lower() == host.lower()


def _ours(host: str, names: Container[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in names or _address(name)


def _address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
