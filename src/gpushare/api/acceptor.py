# SPDX-License-Identifier: Apache-2.0
"""Lets strangers in one by one, and never more than there are seats."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine

from .limits import network

MOST_CONNECTIONS, MOST_PER_ADDRESS = 256, 64  # connections at once, and of them from one address
HANDSHAKE_SECONDS = 5.0
_PAUSE_SECONDS = 0.5  # when the process can open no more files

Factory = Callable[[], asyncio.Protocol]


class ConnectionSlot:
    """One connection's place; `leave` may be said more than once."""

    def __init__(self, address: str, left: Callable[["ConnectionSlot"], None]) -> None:
        self.address, self._left = address, left
        self._taken = True

    def leave(self) -> None:
        if self._taken:
            self._taken = False
            self._left(self)


class Acceptor:
    """Accepts on a listening socket. Handshakes take a seat, so who only knocks is counted too.

    While every seat is taken, new connections wait in the kernel; an address with too many is
    hung up on.
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
        self._run(self._accept())

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
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
        slot = ConnectionSlot(address, self._leave)
        if self._from[network(address)] > MOST_PER_ADDRESS:
            connection.close()
            slot.leave()
        else:
            self._run(self._greet(connection, slot))

    async def _greet(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        """Once greeted, the protocol leaves the seat when its connection is lost."""
        timeout = HANDSHAKE_SECONDS if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol(slot),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=timeout,
            )
        except OSError:
            slot.leave()
        except BaseException:
            slot.leave()
            raise

    def _leave(self, slot: ConnectionSlot) -> None:
        key = network(slot.address)
        self._from[key] -= 1
        if not self._from[key]:
            del self._from[key]
        self._free.release()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
