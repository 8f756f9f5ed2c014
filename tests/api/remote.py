# SPDX-License-Identifier: Apache-2.0
"""A daemon with both listeners, made-up users and callers."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpushare.api import Certificate, FilterSettings, RemoteServer, Server, build
from gpushare.daemon.access.accounts import Account, Accounts
from gpushare.daemon.access.tokens import AccessTokens
from gpushare.daemon.base.paths import listen
from gpushare.daemon.listeners import bound
from gpushare.model.access.role import Role
from gpushare.model.access.token import NewToken, TokenRequest
from support.certificates import Authority, Pair
from support.world.session import ME, DaemonSession, session
from support.world.world import UID, make_world

from .conftest import Answer, UnixConnection

LIN, ANA, OPS, EYE = 4001, 4002, 4003, 4004
USERS = {
    "root": Account(name="root", uid=0, gid=0),
    "lin": Account(name="lin", uid=LIN, gid=LIN, groups=frozenset({"lin"})),
    "ana": Account(name="ana", uid=ANA, gid=ANA, groups=frozenset({"ana"})),
    "ops": Account(name="ops", uid=OPS, gid=OPS, groups=frozenset({"gpu-ops"})),
    "eye": Account(name="eye", uid=EYE, gid=EYE, groups=frozenset({"gpu-eyes"})),
    "sys": Account(name="sys", uid=99, gid=99),
}


class MadeUp:
    """Accounts that are only noted; a user can be removed."""

    def __init__(self) -> None:
        self.users = dict(USERS)

    def by_uid(self, uid: int) -> Account | None:
        return next((account for account in self.users.values() if account.uid == uid), None)

    def by_name(self, name: str) -> Account | None:
        return self.users.get(name)


class Elapsed:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class House:
    """`daemon` is used from its own loop only: see `act`."""

    def __init__(self, folder: Path, short: Path) -> None:
        self.world = make_world(folder / "world", gpus=2)
        self.folder, self.socket = folder, short / "s"
        self.authority = Authority(folder)
        self.pair: Pair = self.authority.issue("server", "localhost", "127.0.0.1")
        self.directory, self.elapsed = MadeUp(), Elapsed()
        self.rules = FilterSettings(hosts=frozenset({"localhost", "gpu.lab"}), elapsed=self.elapsed)
        self.client_ca: Path | None = None
        self.tls = True
        self.port = 0
        self.daemon: DaemonSession
        self.keys: AccessTokens
        self.loop: asyncio.AbstractEventLoop
        self.issuer: Any = None
        self.certificate: Certificate

    def keys_for(self, here: DaemonSession) -> AccessTokens:
        accounts = Accounts(
            UID, self.directory, self.elapsed, operators=["gpu-ops"], viewers=["gpu-eyes"]
        )
        return AccessTokens(
            here.store, accounts, here.parts.bus, here.parts.ports.clock, self.issuer
        )

    def act(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def made(self, user: str = "lin", role: Role | None = None, **rest: Any) -> NewToken:
        """A token, made by the daemon's own user."""
        request = TokenRequest(user=user, role=role, **rest)
        return self.act(self.keys.create(request, ME))

    def secret(self, user: str = "lin", role: Role | None = None, **rest: Any) -> str:
        return self.made(user, role, **rest).secret

    def context(self, client: Pair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        if client:
            context.load_cert_chain(client.cert, client.key)
        return context

    def connection(self, client: Pair | None = None) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        context = self.context(client)
        return http.client.HTTPSConnection("localhost", self.port, timeout=120, context=context)

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        token: str | None = None,
        client: Pair | None = None,
        **headers: str,
    ) -> Answer:
        connection = self.connection(client)
        return _answer(connection, method, target, body, _with(token, headers))

    def at_socket(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        return _answer(UnixConnection(self.socket), method, target, body, headers)

    def raw(self) -> socket.socket:
        """A TLS connection to say anything on."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        return self.context().wrap_socket(plain, server_hostname="localhost")


def _with(token: str | None, headers: dict[str, str]) -> dict[str, str]:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return {**found, **({"Authorization": f"Bearer {token}"} if token else {})}


def _answer(
    connection: http.client.HTTPConnection, method: str, target: str, body: Any, headers: Any
) -> Answer:
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, target, sent, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))
    finally:
        connection.close()


@contextmanager
def living(house: House, prepared: Callable[[House], None] = lambda _: None) -> Iterator[House]:
    """The house while its daemon serves; `prepared` may change it before."""
    prepared(house)
    ready, stop = threading.Event(), []

    async def serve() -> None:
        with session(house.world, house.folder / "state") as here:
            await here.core.reconcile()
            house.daemon, house.loop = here, asyncio.get_running_loop()
            house.keys = house.keys_for(here)
            here.parts.tokens = house.keys
            app = build(here.service, settings=house.rules)
            listener = bound("127.0.0.1:0", secure=False)
            house.port = listener.getsockname()[1]
            house.certificate = Certificate(house.pair.cert, house.pair.key, house.client_ca)
            tls = house.certificate.context if house.tls else None
            servers = [Server(app), RemoteServer(app, tls)]
            stop.extend(server.stop for server in servers)
            places = [listen(house.socket, shared=False), listener]
            tasks = [
                asyncio.create_task(server.serve([place]))
                for server, place in zip(servers, places, strict=True)
            ]
            while not all(server.started for server in servers):  # noqa: ASYNC110 (as in conftest)
                await asyncio.sleep(0.01)
            ready.set()
            await asyncio.gather(*tasks)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(120)
    try:
        yield house
    finally:
        house.loop.call_soon_threadsafe(house.daemon.parts.bus.close)
        for one in stop:
            house.loop.call_soon_threadsafe(one)
        thread.join(120)
        house.world.close()
    assert not thread.is_alive()
