# SPDX-License-Identifier: Apache-2.0
"""Serves the application: on a unix socket, where the kernel says who calls, and to the network."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpushare.model.share import Caller

from .acceptor import Acceptor, ConnectionSlot
from .request_filter import LARGEST_HEAD

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_GRACE_SECONDS = 2
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
_OVER_TLS = ("Strict-Transport-Security", "max-age=31536000")


class PeerProtocol(H11Protocol):
    """Puts the peer's credentials where the gate finds them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(raw)
        self.app_state = {**self.app_state, "peer": Caller(uid=uid, gid=gid, pid=pid)}
        super().connection_made(transport)


class RemoteProtocol(H11Protocol):
    """Puts the caller's address there, and hangs up on who does not say what he wants."""

    head_seconds = 10.0
    slot: ConnectionSlot
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, "remote": self.slot.address}
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete and self._waiting:
            self._waiting.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._waiting.cancel()
        self.slot.leave()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """A request must be here, whole head, in time; slow bodies are the application's."""
        if self._waiting:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(self.head_seconds, self.transport.abort)


class Server(uvicorn.Server):
    """Leaves signals to the daemon."""

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
                proxy_headers=False,  # who calls is who is connected
                headers=[*_HEADERS, *([_OVER_TLS] if tls else [])],
                h11_max_incomplete_event_size=LARGEST_HEAD,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


class RemoteServer(Server):
    """The same for other machines. `tls` None: in clear, which is for this machine alone."""

    def __init__(self, app: Starlette, tls: ssl.SSLContext | None) -> None:
        super().__init__(app, RemoteProtocol, tls=tls is not None)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        acceptors = [Acceptor(listener, self._protocol, self._tls) for listener in sockets or ()]
        for acceptor in acceptors:
            acceptor.open()
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
