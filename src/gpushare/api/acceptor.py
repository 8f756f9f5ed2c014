# SPDX-License-Identifier: Apache-2.0
"""Accepts network connections and limits their number, in total and per address.

uvicorn's own accept loop does not limit connections whose handshake or first request is unfinished.
So `RemoteServer` accepts connections here and hands each one to a uvicorn protocol.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine

from .limits import network

MOST_CONNECTIONS, MOST_PER_ADDRESS = 256, 64  # at the same time
HANDSHAKE_SECONDS = 5.0
_PAUSE_SECONDS = 0.5  # after an error, such as too many open files

Factory = Callable[[], asyncio.Protocol]


class ConnectionSlot:
    """The place of one connection; `release` may be called more than once."""

    def __init__(self, address: str, on_release: Callable[["ConnectionSlot"], None]) -> None:
        self.address, self._on_release = address, on_release
        self._used = True

    def release(self) -> None:
        """Free the place for another connection."""
        if self._used:
            self._used = False
            self._on_release(self)


class Acceptor:
    """Accepts on a listening socket. Unfinished handshakes take a slot too, so they count.

    While no slot is free, new connections wait in the Linux kernel. A connection from an address
    that has too many is closed.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[ConnectionSlot], Factory],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener, self._protocol, self._tls = listener, protocol, tls
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._from: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)

    def open(self) -> None:
        """Begin to accept, in the running event loop."""
        self._run(self._accept())

    def close(self) -> None:
        """Stop accepting, and end handshakes. Connections that have a protocol continue."""
        for task in self._tasks:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """Return when accepting and all handshakes have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # Before `accept`: connections without a slot stay in the backlog.
            await self._free.acquire()
            try:
                connection, peer = await loop.sock_accept(self._listener)
            except OSError:
                self._free.release()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._receive(connection, str(peer[0]))

    def _receive(self, connection: socket.socket, address: str) -> None:
        self._from[network(address)] += 1
        slot = ConnectionSlot(address, self._release)
        # Closed, not queued: one address must not fill the backlog for others.
        if self._from[network(address)] > MOST_PER_ADDRESS:
            connection.close()
            slot.release()
        else:
            self._run(self._handshake(connection, slot))

    async def _handshake(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        """After the handshake the protocol owns the slot and releases it with its connection."""
        timeout = HANDSHAKE_SECONDS if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol(slot),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=timeout,
            )
        except OSError:
            slot.release()
        except BaseException:
            slot.release()
            raise

    def _release(self, slot: ConnectionSlot) -> None:
        key = network(slot.address)
        self._from[key] -= 1
        if not self._from[key]:
            del self._from[key]
        self._free.release()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
