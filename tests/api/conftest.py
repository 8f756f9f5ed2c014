# SPDX-License-Identifier: Apache-2.0
"""A real server on a real socket, over a service on a made-up world."""

import asyncio
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpushare.api import Server, build
from gpushare.daemon.base.paths import listen
from support.schema import check_answer
from support.world.session import DaemonSession, session
from support.world.world import make_world


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gpushare", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class Api:
    """Calls on the socket; `daemon` is the sitting behind it, used from its own loop only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.daemon: DaemonSession
        self.loop: asyncio.AbstractEventLoop

    def call(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        connection = UnixConnection(self.path)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, target, sent, headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.read(), dict(response.getheaders()))
        connection.close()
        check_answer(method, target, answer.status, answer.body)
        return answer

    def raw(self, data: bytes) -> bytes:
        """Everything the server says to these bytes, until it closes or falls silent."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(10)
            peer.connect(str(self.path))
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: peer.recv(65536), b""))

    def act(self, coroutine: Any) -> Any:
        """Run something on the daemon's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)


@pytest.fixture
def api(tmp_path, short_path):
    world = make_world(tmp_path / "world")
    found = Api(short_path / "s")
    ready = threading.Event()

    async def serve() -> None:
        with session(world, tmp_path / "state") as here:
            await here.core.reconcile()
            server = Server(build(here.service))
            found.daemon, found.loop, found.server = here, asyncio.get_running_loop(), server
            serving = asyncio.create_task(server.serve([listen(found.path, shared=False)]))
            while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.01)
            ready.set()
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(120)
    yield found
    found.loop.call_soon_threadsafe(found.daemon.parts.bus.close)
    found.loop.call_soon_threadsafe(found.server.stop)
    thread.join(120)
    world.close()
    assert not thread.is_alive()


@pytest.fixture
def apart(tmp_path, short_path):
    """A house whose daemon does not serve yet: `with living(apart)`."""
    from .remote import House  # noqa: PLC0415 (it uses this file)

    return House(tmp_path, short_path)


@pytest.fixture
def house(apart):
    from .remote import living  # noqa: PLC0415

    with living(apart):
        yield apart
