# SPDX-License-Identifier: Apache-2.0
"""Serves the application on a unix socket; the kernel says who calls."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpushare.model.share import Caller

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_GRACE_SECONDS = 2


class PeerProtocol(H11Protocol):
    """Puts the peer's credentials where `request.state.caller` finds them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(raw)
        self.app_state = {**self.app_state, "caller": Caller(uid=uid, gid=gid, pid=pid)}
        super().connection_made(transport)


class Server(uvicorn.Server):
    """Leaves signals to the daemon."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True
