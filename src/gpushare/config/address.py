# SPDX-License-Identifier: Apache-2.0
"""Addresses of daemons on other machines."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gpushare.model.errors import ConfigError
from gpushare.model.units import is_number

PORT = 7443
_DIGITS, _LAST_PORT = 5, 65535


@dataclass(frozen=True)
class Remote:
    """`ca`: the authority to trust instead of the system's. `cert`: a client certificate with its
    key, in one PEM file.
    """

    host: str
    port: int = PORT
    secure: bool = True
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{name}:{self.port}"


def parse(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether to use TLS; `https://` is optional. Raises ConfigError."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unreadable(url, str(error)) from error
    if parts.scheme not in {"http", "https"} or not host:
        raise _unreadable(url, "it is not of the form https://HOST:PORT")
    if parts.username or parts.password or parts.path.strip("/") or parts.query:
        raise _unreadable(url, "it contains more than a host and a port")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"refusing unencrypted connection to {host}",
            "others could read the token on the network",
            f"https://{host}:{PORT}",
        )
    return host, port or PORT, parts.scheme == "https"


def listen_address(place: str) -> tuple[str | None, int]:
    """Host and port of `HOST:PORT`, `[ADDRESS]:PORT` or `:PORT`, which has no host.

    Raises ConfigError.
    """
    host, colon, port = place.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    odd = any(letter.isspace() for letter in host) or (":" in host and not bracketed)
    if not colon or odd or not is_number(port) or len(port) > _DIGITS or int(port) > _LAST_PORT:
        raise ConfigError(
            f"cannot listen on {place!r}",
            f"it is not HOST:PORT with a port up to {_LAST_PORT}",
            "write listen = HOST:PORT, such as 0.0.0.0:7443 or [::]:7443",
        )
    return host.strip("[]") or None, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, so that plain HTTP is safe."""
    from ipaddress import ip_address  # noqa: PLC0415 (start-up time)

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unreadable(url: str, because: str) -> ConfigError:
    return ConfigError(f"cannot use the address {url!r}", because, f"https://HOST:{PORT}")
