# SPDX-License-Identifier: Apache-2.0
"""One HTTP request to a daemon, over its unix socket or TLS; translates failures into errors."""

import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from gpushare.config.address import Remote
from gpushare.model.errors import (
    ConfigError,
    DaemonUnreachableError,
    GpushareError,
    ProtocolError,
    SocketDeniedError,
)

from . import remote

_CONNECT_SECONDS = 5.0
_LONGEST = 107  # bytes of a unix socket's path (unix(7))


class UnixConnection(http.client.HTTPConnection):
    """`timeout`: seconds for an answer; None: no limit."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost")
        self._path, self._answer_timeout = path, timeout

    def connect(self) -> None:
        """Connecting has a short timeout of its own; an answer may take longer."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_SECONDS)
        self.sock.connect(os.fspath(self._path))
        self.sock.settimeout(self._answer_timeout)


@contextmanager
def answer(
    where: Path | Remote,
    method: str,
    target: str,
    *,
    query: Mapping[str, str] = {},
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
    timeout: float | None,
) -> Iterator[http.client.HTTPResponse]:
    """One request. Raises DaemonUnreachableError, SocketDeniedError, ProtocolError, ConfigError."""
    url = f"{target}?{urlencode(query)}" if query else target
    headers = {"Accept": "application/json", **headers}
    if isinstance(where, Remote):
        headers |= remote.credentials(where)
    with closing(_connection(where, timeout)) as connection, _translated_errors(where):
        connection.request(method, url, body, headers)
        yield connection.getresponse()


def _connection(where: Path | Remote, timeout: float | None) -> http.client.HTTPConnection:
    if isinstance(where, Remote):
        return remote.connection(where, timeout)
    # connect() would report a path that is too long as a missing file.
    if len(os.fsencode(where)) > _LONGEST:
        raise ConfigError(f"{where} is too long for a socket", hint="set a shorter GPUSHARE_SOCKET")
    return UnixConnection(where, timeout)


def _translated_errors(where: Path | Remote) -> AbstractContextManager[None]:
    return remote.translated_errors(where) if isinstance(where, Remote) else _at_socket(where)


@contextmanager
def _at_socket(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SocketDeniedError(
            f"permission denied on the daemon's socket {path}",
            "the socket's permissions exclude this user",
            "join the group gpushare, or start your own daemon: gpushare daemon --detach",
        ) from error
    except TimeoutError as error:
        raise DaemonUnreachableError(
            f"the daemon on {path} does not answer",
            "it is stuck or overloaded",
            "try again, or end it (shares continue): gpushare daemon stop",
        ) from error
    # An answer that is cut short: the daemon ended while it wrote.
    except (OSError, http.client.IncompleteRead) as error:
        raise unreachable(path, getattr(error, "strerror", None) or str(error)) from error
    except http.client.HTTPException as error:
        raise ProtocolError(
            f"{path} does not speak HTTP", f"{type(error).__name__} {error}", "gpushare config show"
        ) from error


def unreachable(path: Path, because: str) -> GpushareError:
    """The error for a daemon that does not answer; `because` is the system's message."""
    return DaemonUnreachableError(
        f"no daemon answers on {path}", because.lower(), "start one: gpushare daemon --detach"
    )
