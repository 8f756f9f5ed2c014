# SPDX-License-Identifier: Apache-2.0
"""Checks each request's size, origin, caller and rate before it reaches the application.

Requests of several users begin in turn (`turns`). A valid token is always accepted. After several
requests without one, an address must wait, so tokens cannot be guessed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpushare.model.access.role import Role
from gpushare.model.access.token import Identity
from gpushare.model.audit import Audit, Deed
from gpushare.model.errors import GpushareError, UnauthenticatedError, UsageError
from gpushare.model.share import Caller

from . import origin
from .limits import Buckets, Failures
from .responses import refusal
from .turns import Turns

LARGEST_HEAD = 16 * 1024  # bytes of a request's line and headers
_PATH_CHARACTERS = 200  # of an unauthenticated request's path in the audit log


@dataclass
class FilterSettings:
    """What a reload may replace: the filter reads it at each request.

    `rate`, `burst`: calls of one caller per second and at once; rate 0: no limit.

    `hosts`: names of this machine. `elapsed`: a clock in seconds.
    """

    rate: float = 0.0
    burst: int = 1
    hosts: frozenset[str] = frozenset(("localhost",))
    elapsed: Callable[[], float] = time.monotonic


class RequestFilter:
    """ASGI middleware that sets the request's `caller`; None is a remote caller without a token.

    The server sets `peer`, a Caller, on a unix socket, or `remote`, an address.
    """

    def __init__(
        self, app: ASGIApp, identity: Identity, audit: Audit, settings: FilterSettings
    ) -> None:
        self._app, self._identity, self._audit = app, identity, audit
        self._settings = settings
        self._calls = Buckets(settings.rate, settings.burst, settings.elapsed)
        self._failures = Failures(settings.elapsed)
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, state = Request(scope), scope["state"]
        try:
            if (peer := state.get("peer")) is not None:
                await self._identity.know(peer)
            state["caller"] = caller = self._admitted(request, peer)
        except GpushareError as error:
            await refusal(error)(scope, receive, send)
            return
        await self._turns.take(state["remote"] if caller is None else caller.uid)
        if caller is None:
            send = self._counted(state["remote"], send)
        await self._app(scope, receive, send)

    def _admitted(self, request: Request, peer: Caller | None) -> Caller | None:
        _check_head(request.scope)
        self._calls.put_limit(self._settings.rate, self._settings.burst)
        origin.check(request.headers, None if peer else self._settings.hosts)
        if peer is not None:
            return self._local(peer)
        # Waiting times apply only without a valid token: an attacker who shares an address with a
        # user, as behind NAT, must not lock the user out.
        secret = _bearer(request)
        if secret is None:
            self._failures.check(request.state.remote)
            self._calls.take(request.state.remote)
            return None
        caller = self._known(request, secret)
        self._calls.take(f"token {caller.token}")
        return caller

    def _local(self, peer: Caller) -> Caller:
        """The caller on the unix socket; admins have no rate limit, as they control the machine."""
        caller = self._identity.local(peer)
        if not caller.role.covers(Role.ADMIN):
            self._calls.take(f"uid {caller.uid}")
        return caller

    def _known(self, request: Request, secret: str) -> Caller:
        try:
            return self._identity.bearer(secret, request.state.remote)
        except UnauthenticatedError as error:
            self._failures.check(request.state.remote)
            self._failures.add(request.state.remote)
            path = request.url.path[:_PATH_CHARACTERS]
            # The token is not recorded: it may be valid elsewhere, or misspelled by one letter.
            self._audit.tell(Deed(request.method, path, "", None, None, None, error.code))
            raise

    def _counted(self, remote: str, send: Send) -> Send:
        """Count a request without a token as failed if the answer is 401."""

        async def counted(message: Message) -> None:
            if message.get("status") == UnauthenticatedError.status:
                self._failures.add(remote)
            await send(message)

        return counted


def _check_head(scope: Scope) -> None:
    """Raises UsageError. The HTTP parser limits only heads that arrive in parts."""
    line = len(scope["path"]) + len(scope["query_string"])
    if line + sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEAD:
        raise UsageError(
            "the request is too large", f"URL and headers have at most {LARGEST_HEAD} bytes"
        )


def _bearer(request: Request) -> str | None:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None
