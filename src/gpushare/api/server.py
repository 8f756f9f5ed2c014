# SPDX-License-Identifier: Apache-2.0
"""Serves the application on a unix socket and to the network, with uvicorn.

One `Server` runs per listening socket, in the daemon's event loop. They differ in how a caller is
identified, which their protocol puts into the state of each request:

- `Server` with `PeerProtocol` on the unix socket: `peer`, the pid, uid and gid that the Linux
  kernel reports for the connection (SO_PEERCRED). They cannot be forged.
- `RemoteServer` with `RemoteProtocol` on the network: `remote`, the address. The caller is
  identified by a token, later, in `request_filter`.

Both bound what callers hold: a request's head must arrive within `head_seconds`, each user has a
number of connections on the unix socket, and on the network `acceptor` counts connections and
bounds handshakes. Bodies are bounded by the application.

uvicorn does not offer this as public API. We override `Server.startup` and methods of
`H11Protocol`; tests/api/test_uvicorn.py fails when uvicorn changes them, and pyproject.toml caps
its version.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpushare.model.errors import RateLimitedError
from gpushare.model.share import Caller

from .acceptor import Acceptor, ConnectionSlot
from .request_filter import LARGEST_HEAD
from .responses import refusal

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_GRACE_SECONDS = 2
_TICK_SECONDS = 1.0  # the date in answers has whole seconds
_REFUSED_SECONDS = 0.2  # for a refused client to send its request and read the answer
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
_OVER_TLS = ("Strict-Transport-Security", "max-age=31536000")


class BoundedProtocol(H11Protocol):
    """Closes connections that send no complete request in time, and read no more of an answer."""

    # Without a bound, clients that send nothing would hold all descriptors (threat model:
    # connections).
    head_seconds = 10.0
    _waiting: asyncio.TimerHandle | None = None
    _unread = 0  # bytes of the last answer that the client had not taken when its time began

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A cycle begins when the head of a request is complete.
        if self.cycle is not None and not self.cycle.response_complete and self._waiting:
            self._waiting.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """The whole head of the next request must arrive in time; `app` limits bodies."""
        if self._waiting:
            self._waiting.cancel()
        self._unread = self.transport.get_write_buffer_size()
        self._waiting = self.loop.call_later(self.head_seconds, self._overdue)

    def _overdue(self) -> None:
        """A client that still reads the last answer is not late with its next request."""
        if self.transport.get_write_buffer_size() < self._unread:
            self._expect()
        else:
            self.transport.abort()


class PeerProtocol(BoundedProtocol):
    """Puts the peer's credentials into the state of each request, and bounds them per user."""

    most_per_user = 128  # connections at the same time
    unbounded = frozenset((0, os.geteuid()))  # users who control the daemon anyway
    uid = -1
    _refused: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, self.uid, gid = _UCRED.unpack(raw)
        if self._crowded():
            self._refuse(transport)
            return
        # All connections share `app_state`, so each gets a copy. uvicorn puts it into the scope.
        self.app_state = {**self.app_state, "peer": Caller(uid=self.uid, gid=gid, pid=pid)}
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            # Read first: the client would get an error of its connection instead of the answer.
            self._refused.close()
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._refused:
            super().connection_lost(exc)

    def eof_received(self) -> None:
        if not self._refused:
            super().eof_received()

    def _crowded(self) -> bool:
        own = sum(getattr(other, "uid", -1) == self.uid for other in self.connections)
        return self.uid not in self.unbounded and own >= self.most_per_user

    def _refuse(self, transport: asyncio.Transport) -> None:
        """The answer does not wait for a request, so it costs no descriptor for long."""
        self._refused = transport
        error = RateLimitedError(
            "too many connections",
            f"your user has {self.most_per_user} open, and no user may have more",
            "close some; event streams and waiting calls hold one each",
        )
        answer = refusal(error)
        headers = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
        end = b"connection: close\r\n\r\n"
        transport.write(b"HTTP/1.1 429 Too Many Requests\r\n" + headers + end + bytes(answer.body))
        self.loop.call_later(_REFUSED_SECONDS, transport.close)


class RemoteProtocol(BoundedProtocol):
    """Puts the address into the state of each request."""

    slot: ConnectionSlot

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, "remote": self.slot.address}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.slot.release()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the daemon."""

    def __init__(
        self, app: Starlette, protocol: type[H11Protocol] = PeerProtocol, *, tls: bool = False
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the caller is the connected peer
                headers=[*_HEADERS, *([_OVER_TLS] if tls else [])],
                h11_max_incomplete_event_size=LARGEST_HEAD,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Renew the date header; uvicorn's own wakes ten times a second to see `should_exit`."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves SIGTERM and SIGINT to the daemon, which has more to stop than this server."""
        yield

    @property
    def requests(self) -> int:
        """How many were answered so far."""
        return self.server_state.total_requests

    @property
    def connected(self) -> bool:
        """Whether a client is."""
        return bool(self.server_state.connections)

    def stop(self) -> None:
        """End `serve` once open requests are answered, or after two seconds."""
        self.should_exit = True
        self._stopping.set()


class RemoteServer(Server):
    """Serves other machines. `tls` None: without encryption, for loopback addresses only."""

    def __init__(self, app: Starlette, tls: ssl.SSLContext | None) -> None:
        super().__init__(app, RemoteProtocol, tls=tls is not None)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        acceptors = [Acceptor(listener, self._protocol, self._tls) for listener in sockets or ()]
        for acceptor in acceptors:
            acceptor.open()
        # uvicorn only closes its servers and waits for them; an Acceptor can do both.
        self.servers: list[Any] = acceptors
        self.started = True

    def _protocol(self, slot: ConnectionSlot) -> Callable[[], asyncio.Protocol]:
        def factory() -> asyncio.Protocol:
            protocol = RemoteProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            protocol.slot = slot
            return protocol

        return factory
