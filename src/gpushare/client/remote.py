# SPDX-License-Identifier: Apache-2.0
"""A daemon on another machine: HTTP over TLS, and what its failures mean."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gpushare.model.errors import ConfigError, DaemonUnreachableError, ProtocolError

PORT = 7443
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Remote:
    """`ca`: the authority to trust instead of the system's; `cert`: a certificate of one's own and
    its key, in one PEM file.
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
    """Host, port and whether by TLS; `https://` may be left out. Raises ConfigError."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unreadable(url, str(error)) from error
    if parts.scheme not in {"http", "https"} or not host:
        raise _unreadable(url, "it is not https://HOST:PORT")
    if parts.username or parts.password or parts.path.strip("/") or parts.query:
        raise _unreadable(url, "there is more in it than a host and a port")
    if parts.scheme == "http" and not _here(host):
        raise ConfigError(
            f"will not speak to {host} in clear",
            "the token would be readable on the way",
            f"https://{host}:{PORT}",
        )
    return host, port or PORT, parts.scheme == "https"


def connection(there: Remote, timeout: float | None) -> http.client.HTTPConnection:
    """`timeout`: seconds for one answer; None: as long as it takes. Raises ConfigError."""
    if not there.secure:
        return _Plain(there, timeout)
    return _Secure(there, timeout, _context(there))


def credentials(there: Remote) -> dict[str, str]:
    return {"Authorization": f"Bearer {there.token}"} if there.token else {}


class _Plain(http.client.HTTPConnection):
    def __init__(self, there: Remote, patience: float | None) -> None:
        super().__init__(there.host, there.port, timeout=_CONNECT_SECONDS)
        self._patience = patience

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._patience)


class _Secure(http.client.HTTPSConnection):
    def __init__(self, there: Remote, patience: float | None, context: ssl.SSLContext) -> None:
        super().__init__(there.host, there.port, timeout=_CONNECT_SECONDS, context=context)
        self._patience = patience

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._patience)


def _context(there: Remote) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=there.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if there.cert is not None:
            context.load_cert_chain(there.cert, password=_no_password)
    except (OSError, ValueError) as error:
        files = " and ".join(str(path) for path in (there.ca, there.cert) if path)
        raise ConfigError(f"cannot use {files}", str(error), "gpushare config show") from error
    return context


def _no_password() -> str:
    raise ValueError("its key is encrypted")


@contextmanager
def explained(there: Remote) -> Iterator[None]:
    """Raises DaemonUnreachableError, ProtocolError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise DaemonUnreachableError(
            f"the certificate of {there} is not trusted",
            error.verify_message,
            "get its authority's certificate from who runs it, then: GPUSHARE_CA=FILE, or ca ="
            " in the context",
        ) from error
    except TimeoutError as error:
        raise DaemonUnreachableError(
            f"{there} does not answer", "it is away, stuck or overloaded", "gpushare version"
        ) from error
    except OSError as error:
        because = (error.strerror or str(error)).lower()
        raise DaemonUnreachableError(
            f"no daemon answers on {there}", because, "is it started with listen = HOST:PORT?"
        ) from error
    except http.client.HTTPException as error:
        raise ProtocolError(
            f"{there} does not speak HTTP", f"{type(error).__name__} {error}", "check the port"
        ) from error


def _here(host: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 (start-up time)

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unreadable(url: str, because: str) -> ConfigError:
    return ConfigError(f"cannot use the address {url!r}", because, f"https://HOST:{PORT}")
