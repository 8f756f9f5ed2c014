# SPDX-License-Identifier: Apache-2.0
"""What every request passes first: may it come from there, who sends it, does he ask too often."""

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

LARGEST_HEAD = 16 * 1024  # bytes of a request's line and headers
_PATH_CHARACTERS = 200  # characters of a stranger's path that are told


@dataclass(frozen=True)
class FilterSettings:
    """`rate`, `burst`: calls of one caller, a second and at once; rate 0: any number.

    `hosts`: names of this machine. `elapsed`: a clock in seconds.
    """

    rate: float = 0.0
    burst: int = 1
    hosts: frozenset[str] = frozenset(("localhost",))
    elapsed: Callable[[], float] = time.monotonic


class RequestFilter:
    """ASGI. The scope's state has `peer`, a Caller, on a unix socket, else `remote`, an address.

    Behind it the state's `caller` is who calls, or None: somebody remote without a token.
    """

    def __init__(
        self, app: ASGIApp, identity: Identity, audit: Audit, settings: FilterSettings
    ) -> None:
        self._app, self._identity, self._audit = app, identity, audit
        self._hosts = settings.hosts
        self._calls = Buckets(settings.rate, settings.burst, settings.elapsed)
        self._failures = Failures(settings.elapsed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            request.state.caller = self._admitted(request)
        except GpushareError as error:
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, self._counted(request, send))

    def _admitted(self, request: Request) -> Caller | None:
        peer: Caller | None = getattr(request.state, "peer", None)
        _check_head(request)
        origin.check(request.headers, None if peer else self._hosts)
        if peer is not None:
            return self._local(peer)
        secret = _bearer(request)
        if secret is None:
            self._failures.check(request.state.remote)
            self._calls.take(request.state.remote)
            return None
        caller = self._known(request, secret)
        self._calls.take(f"token {caller.token}")
        return caller

    def _local(self, peer: Caller) -> Caller:
        """Who administers the machine could do worse to it than to ask often."""
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
            self._audit.tell(Deed(request.method, path, "", None, None, None, error.code))
            raise

    def _counted(self, request: Request, send: Send) -> Send:
        """Who asks without a token and gets nowhere has failed too."""
        if request.state.caller is not None:
            return send

        async def counted(message: Message) -> None:
            if message.get("status") == UnauthenticatedError.status:
                self._failures.add(request.state.remote)
            await send(message)

        return counted


def _check_head(request: Request) -> None:
    """Raises UsageError; a parser bounds only what it has not read to its end."""
    head = (
        request.url.path,
        request.url.query,
        *(part for pair in request.headers.raw for part in pair),
    )
    if sum(map(len, head)) > LARGEST_HEAD:
        raise UsageError(
            "the request is too large", f"its address and headers have {LARGEST_HEAD} bytes at most"
        )


def _bearer(request: Request) -> str | None:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None
