# SPDX-License-Identifier: Apache-2.0
"""Listens on the daemon's socket, and on a network address if one is set."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from starlette.applications import Starlette

from gpushare.api import Certificate, FilterSettings, RemoteServer, Server
from gpushare.config.address import listen_address
from gpushare.config.settings import Settings
from gpushare.model.errors import ConfigError, DeniedError, GpushareError

from .base import paths

_RENEW_SECONDS = 10.0
_REOPEN_SECONDS = 2.0
_log = structlog.get_logger()


class Listeners:
    """Opened at once, so that an address in use is an error at start; served by `serve`.

    `announce` gets the path of the socket. Raises DaemonRunningError, DeniedError, ConfigError.
    """

    def __init__(
        self, app: Starlette, settings: Settings, *, shared: bool, announce: Callable[[Path], None]
    ) -> None:
        self._app, self._settings, self._shared = app, settings, shared
        self._announce = announce
        self._socket = settings.socket
        self._certificate = certificate(settings)
        self._servers: list[tuple[Server, socket.socket]] = []
        self._stopped = False
        try:
            self._open(app, settings)
        except BaseException:
            for _, listener in self._servers:
                listener.close()
            raise

    def _open(self, app: Starlette, settings: Settings) -> None:
        if settings.listen:
            listener = bound(settings.listen, secure=self._certificate is not None)
            tls = self._certificate.context if self._certificate else None
            self._servers.append((RemoteServer(app, tls), listener))
            host, port = listener.getsockname()[:2]
            _log.info("daemon.listens", host=host, port=port, tls=tls is not None)
        self._servers.append((Server(app), paths.listen(settings.socket, shared=self._shared)))
        self._announce(settings.socket)

    async def serve(self) -> None:
        """Until `stop`."""
        keeping = [asyncio.ensure_future(self._renew())]
        try:
            async with asyncio.TaskGroup() as tasks:
                for server, place in self._servers:
                    tasks.create_task(server.serve([place]))
                keeping.append(asyncio.ensure_future(self._reopen(tasks)))
        finally:
            for task in keeping:
                task.cancel()
            # Clients of a stopped daemon find no socket, instead of one that refuses them.
            self._socket.unlink(missing_ok=True)

    @property
    def requests(self) -> int:
        """How many were answered so far."""
        return sum(server.requests for server, _ in self._servers)

    @property
    def connected(self) -> bool:
        """Whether a client is."""
        return any(server.connected for server, _ in self._servers)

    def stop(self) -> None:
        self._stopped = True
        for server, _ in self._servers:
            server.stop()

    async def _reopen(self, tasks: asyncio.TaskGroup) -> None:
        """Listen again where the socket was removed, as a user's runtime directory is at logout.

        If that directory cannot be made again, in the state directory: clients find it there.
        """
        while True:
            await asyncio.sleep(_REOPEN_SECONDS)
            if self._stopped or self._socket.is_socket():
                continue
            if (listener := self._listen_again()) is None:
                continue
            # The earlier server keeps the connections that it has.
            server = Server(self._app)
            self._servers.append((server, listener))
            tasks.create_task(server.serve([listener]))
            _log.warning("daemon.reopened", socket=str(self._socket))

    def _listen_again(self) -> socket.socket | None:
        settings = self._settings
        with suppress(OSError, GpushareError):
            paths.runtime_folder(settings.runtime_dir)
        for path in (settings.socket, settings.state_dir / settings.socket.name):
            with suppress(OSError, GpushareError):
                listener = paths.listen(path, shared=self._shared)
                self._socket = path
                self._announce(path)
                return listener
        return None

    async def _renew(self) -> None:
        """Load certificates that were replaced; log each error once."""
        logged = ""
        while self._certificate is not None:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                if self._certificate.renew():
                    _log.info("daemon.certificate", message="read again")
                logged = ""
            except ConfigError as error:
                if str(error) != logged:
                    _log.warning("daemon.certificate", message=str(error))
                logged = str(error)


def rules(settings: Settings) -> FilterSettings:
    """What remote callers must keep to."""
    own = {"localhost", socket.gethostname().lower()}
    return FilterSettings(
        rate=settings.rate_limit,
        burst=settings.rate_burst,
        hosts=frozenset(own | {name.lower() for name in settings.hosts}),
    )


def apply_rules(settings: Settings, limits: FilterSettings) -> None:
    """Make the settings those of a filter in use."""
    new = rules(settings)
    limits.rate, limits.burst, limits.hosts = new.rate, new.burst, new.hosts


def certificate(settings: Settings) -> Certificate | None:
    """Raises ConfigError if only one of certificate and key is set."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigError("tls_cert and tls_key belong together", "one of them is not set")
    return Certificate(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def bound(place: str, *, secure: bool) -> socket.socket:
    """A socket that listens on `HOST:PORT`; without encryption only on loopback addresses.

    Raises ConfigError, DeniedError.
    """
    host, port = listen_address(place)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"cannot listen on {place}", str(error)) from error
    if not secure and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise ConfigError(
            f"refusing to listen on {place} without encryption",
            "tokens would be readable on the network",
            "set tls_cert and tls_key, or listen on 127.0.0.1",
        )
    try:
        # By the protocol's number asyncio knows that small answers must not be held back
        # (TCP_NODELAY).
        listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:  # systemd's RestrictAddressFamilies= refuses the family
        raise DeniedError(
            f"cannot listen on {place}",
            str(error),
            "a service without network needs deploy/systemd/remote.conf: docs/how-to/install.md",
        ) from error
    return _listening(listener, place, address)


def _listening(listener: socket.socket, place: str, address: tuple[object, ...]) -> socket.socket:
    try:
        # A daemon that starts again within a minute would otherwise find its port in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            # One socket for both families: `[::]` accepts IPv4 too, where the kernel allows it.
            with suppress(OSError):
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise DeniedError(f"cannot listen on {place}", str(error), "use --listen") from error
    return listener
