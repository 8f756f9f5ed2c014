# SPDX-License-Identifier: Apache-2.0
"""Refuses requests that foreign web pages make through a user's browser."""

from collections.abc import Container, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from gpushare.model.errors import DeniedError


def check(headers: Mapping[str, str], names: Container[str] | None) -> None:
    """Raises DeniedError. `names`: the names of this machine; None: on a unix socket.

    A page whose name was redirected to this machine sends that name as Host (DNS rebinding). A page
    of another site sends its address as Origin. Browsers cannot use a unix socket.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if names is not None and not _ours(host, names):
        raise DeniedError(
            f"{host!r} is not a name of this machine",
            "use its address, or a name from the setting hosts",
            "gpushare config show",
        )
    if origin is not None and (names is None or not _same(origin, host)):
        raise DeniedError(
            f"requests from pages of {origin!r} are refused",
            "only programs and pages of this machine have access",
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
