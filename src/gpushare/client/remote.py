# SPDX-License-Identifier: Apache-2.0
"""Connections to daemons on other machines: HTTP over TLS, and its failures as errors."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from gpushare.config.address import Remote
from gpushare.model.errors import ConfigError, DaemonUnreachableError, ProtocolError

_CONNECT_SECONDS = 5.0


def connection(remote: Remote, timeout: float | None) -> http.client.HTTPConnection:
    """`timeout`: seconds for an answer; None: no limit. Raises ConfigError."""
    if not remote.secure:
        return _Plain(remote, timeout)
    return _Secure(remote, timeout, _context(remote))


def credentials(remote: Remote) -> dict[str, str]:
    """The header with the token; empty without one."""
    return {"Authorization": f"Bearer {remote.token}"} if remote.token else {}


class _Plain(http.client.HTTPConnection):
    def __init__(self, remote: Remote, answer_timeout: float | None) -> None:
        super().__init__(remote.host, remote.port, timeout=_CONNECT_SECONDS)
        self._answer_timeout = answer_timeout

    def connect(self) -> None:
        super().connect()
        # Connecting has a short timeout of its own.
        self.sock.settimeout(self._answer_timeout)


class _Secure(http.client.HTTPSConnection):
    def __init__(
        self, remote: Remote, answer_timeout: float | None, context: ssl.SSLContext
    ) -> None:
        super().__init__(remote.host, remote.port, timeout=_CONNECT_SECONDS, context=context)
        self._answer_timeout = answer_timeout

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._answer_timeout)


def _context(remote: Remote) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=remote.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if remote.cert is not None:
            context.load_cert_chain(remote.cert, password=_no_password)
    except (OSError, ValueError) as error:
        files = " and ".join(str(path) for path in (remote.ca, remote.cert) if path)
        raise ConfigError(f"cannot use {files}", str(error), "gpushare config show") from error
    return context


def _no_password() -> str:
    raise ValueError("its key is encrypted")


@contextmanager
def translated_errors(remote: Remote) -> Iterator[None]:
    """Raises DaemonUnreachableError, ProtocolError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise DaemonUnreachableError(
            f"the certificate of {remote} is not trusted",
            error.verify_message,
            "get the authority's certificate from the operator, and set GPUSHARE_CA=FILE or `ca` in"
            " the context",
        ) from error
    except TimeoutError as error:
        raise DaemonUnreachableError(
            f"{remote} does not answer", "it is down, stuck or overloaded", "gpushare version"
        ) from error
    # An answer that is cut short: the daemon ended while it wrote.
    except (OSError, http.client.IncompleteRead) as error:
        because = (getattr(error, "strerror", None) or str(error)).lower()
        raise DaemonUnreachableError(
            f"no daemon answers on {remote}", because, "check that its setting listen is HOST:PORT"
        ) from error
    except http.client.HTTPException as error:
        raise ProtocolError(
            f"{remote} does not speak HTTP", f"{type(error).__name__} {error}", "check the port"
        ) from error
