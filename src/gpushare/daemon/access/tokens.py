# SPDX-License-Identifier: Apache-2.0
"""Identifies callers and makes tokens: implements `TokenService` and `Identity`."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from gpushare.api.permissions import WRITE_TOKENS, default_scopes, scopes
from gpushare.daemon.base.bus import Bus
from gpushare.hardware.ports import Clock
from gpushare.model.access.role import Role
from gpushare.model.access.token import Login, LoginRequest, NewToken, Token, TokenId, TokenRequest
from gpushare.model.errors import (
    ConflictError,
    NoSuchTokenError,
    RoleError,
    UnauthenticatedError,
    UnsupportedError,
    UsageError,
)
from gpushare.model.share import Caller
from gpushare.store import Store

from .accounts import Account, Accounts
from .oidc import Issuer

MOST = 200  # living tokens that act as one user
_SECRET_BYTES = 32
_USED_EVERY = timedelta(minutes=10)
_REMEMBERED = timedelta(days=30)  # how long one that has expired is still listed
_NO_DIGEST = hashlib.sha256(b"").digest()
_NEW = "make a new one: gpushare token create"


class AccessTokens:
    """`issuer`: whose logins are accepted; None: no logins."""

    def __init__(
        self, store: Store, accounts: Accounts, bus: Bus, clock: Clock, issuer: Issuer | None = None
    ) -> None:
        self._store, self._accounts, self._bus, self._clock = store, accounts, bus, clock
        self._issuer = issuer
        self._bells: dict[str, asyncio.Event] = {}

    async def know(self, peer: Caller) -> None:
        """Before `local`: ask a name service that may be slow, without delaying other callers."""
        await self._accounts.know(peer.uid)

    def local(self, peer: Caller) -> Caller:
        """The caller at the unix socket, as the Linux kernel names it, with the role of its uid."""
        return replace(peer, role=self._accounts.role(peer.uid))

    def bearer(self, secret: str, address: str) -> Caller:
        """The caller that a token stands for.

        Raises UnauthenticatedError. `address`: where the caller is.
        """
        token, account = self._opened(secret)
        now = self._clock.now()
        # Written at most every ten minutes: each write is a transaction, and each request would be
        # one.
        if token.used is None or abs(now - token.used) >= _USED_EVERY:
            self._store.tokens.used(token, now)
        return Caller(
            uid=account.uid,
            gid=account.gid,
            pid=0,
            # A token can do at most what its maker may do now (ADR 0025).
            role=_lesser(token.role, self._accounts.role(token.maker)),
            token=token.id,
            remote=address,
            scopes=token.scopes,
        )

    async def ended(self, caller: Caller) -> None:
        """Return when the token of the caller is revoked or expires; without a token, never."""
        bell = self._bells.setdefault(caller.token or "", asyncio.Event())
        stored = self._store.tokens.get(caller.token) if caller.token else None
        if caller.token and stored is None:
            return
        left = (stored[0].expires - self._clock.now()).total_seconds() if stored else None
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await bell.wait()

    async def create(self, request: TokenRequest, caller: Caller) -> NewToken:
        """Raises UsageError, RoleError, ConflictError, UnauthenticatedError.

        The new token lives no longer than the one that it was made with.
        """
        account, parent = self._subject(request.user, caller), self._parent(caller)
        role = self._role(request, account, caller)
        maker = parent.maker if parent else caller.uid
        token = self._token(account, role, request.ttl, maker, request.note)
        token = replace(token, scopes=_scopes(request.scopes, role, caller))
        if parent:
            expires = min(token.expires, parent.expires)
            token = replace(token, parent=parent.id, expires=expires)
        return self._made(token, f"by uid {caller.uid}")

    async def list(self, caller: Caller) -> tuple[Token, ...]:
        """Those that act as the caller; for an admin, all."""
        every = caller.role.covers(Role.ADMIN)
        return tuple(self._store.tokens.all() if every else self._store.tokens.of(caller.uid))

    async def revoke(self, token: str, caller: Caller) -> Token:
        """With all tokens that were made with it; raises NoSuchTokenError, RoleError."""
        stored = self._store.tokens.get(token)
        if stored is None or not (caller.role.covers(Role.ADMIN) or stored[0].uid == caller.uid):
            raise NoSuchTokenError(
                f"no token {token!r}", "it is gone, or not yours", "gpushare token ls"
            )
        if (
            caller.scopes is not None
            and WRITE_TOKENS not in caller.scopes
            and token != caller.token
        ):
            raise RoleError(
                "this token may revoke itself only", f"it lacks the scope {WRITE_TOKENS}"
            )
        with self._store.transaction():
            # With the tokens that were made with it, or a leaked token could outlive its
            # revocation.
            gone = self._store.tokens.remove(stored[0].id)
            self._bus.publish("token.revoked", f"{', '.join(gone)} by uid {caller.uid}")
        self._ring(gone)
        return stored[0]

    async def login(self) -> Login:
        """Where to log in; empty if this daemon has no issuer."""
        return self._issuer.login if self._issuer else Login()

    async def exchange(self, request: LoginRequest) -> NewToken:
        """A token for a login at the issuer.

        Raises UnsupportedError, UnauthenticatedError, DaemonError.
        """
        if self._issuer is None:
            raise UnsupportedError(
                "this daemon accepts no logins",
                "no issuer is set (oidc_issuer)",
                "make a token on the machine: gpushare token create",
            )
        claims = await self._issuer.verify(request.proof, self._clock.now())
        account = self._accounts.outsider(claims.user)
        own = self._accounts.role(account.uid)
        role = Role.OPERATOR if claims.operator or own.covers(Role.OPERATOR) else own
        # The issuer may make a user an operator, so the role is not bounded by that of the user.
        token = self._token(account, role, self._issuer.session, self._accounts.myself, "login")
        return self._made(token, f"for the login of {claims.user}")

    def _token(self, account: Account, role: Role, ttl: int, maker: int, note: str) -> Token:
        """With the scopes of its role."""
        now = self._clock.now()
        return Token(
            id=_new_id(),
            user=account.name,
            uid=account.uid,
            role=role,
            scopes=default_scopes(role),
            created=now,
            expires=now + timedelta(seconds=ttl),
            maker=maker,
            note=note,
        )

    def _made(self, token: Token, how: str) -> NewToken:
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        with self._store.transaction():
            self._store.tokens.forget(token.created - _REMEMBERED)
            self._check_number(token)
            self._store.tokens.add(token, _digest(secret))
            self._bus.publish(
                "token.created", f"{token.id} acts as {token.user} ({token.role}), {how}"
            )
        return NewToken(token=token, secret=f"gs_{token.id}_{secret}")

    def _check_number(self, token: Token) -> None:
        living = [t for t in self._store.tokens.of(token.uid) if t.expires > token.created]
        if len(living) >= MOST:
            raise ConflictError(
                f"{token.user} has {len(living)} tokens",
                "that is the maximum",
                "gpushare token revoke ID",
            )

    def _opened(self, secret: str) -> tuple[Token, Account]:
        """The token and the account that it acts as; raises UnauthenticatedError."""
        _, _, rest = secret.partition("gs_")
        identity, _, word = rest.partition("_")
        token, digest = self._store.tokens.get(identity) or (None, _NO_DIGEST)
        # Compared in constant time, also for an id that does not exist, so that the time tells
        # nothing.
        if not hmac.compare_digest(_digest(word), digest) or token is None:
            raise UnauthenticatedError("the token is not valid", "it is wrong or was revoked", _NEW)
        if token.expires <= self._clock.now():
            when = f"{token.expires:%Y-%m-%d %H:%M} UTC"
            raise UnauthenticatedError(f"token {token.id} has expired", f"it was {when}", _NEW)
        account = self._accounts.of(token.uid)
        # A uid may be given to another person; the token was made for the name.
        if account.name != token.user:
            raise UnauthenticatedError(
                f"token {token.id} acts as no user", f"there is no user {token.user} any more", _NEW
            )
        return token, account

    def _subject(self, user: str | None, caller: Caller) -> Account:
        account = self._accounts.of(caller.uid) if user is None else self._accounts.named(user)
        if account.uid != caller.uid and not caller.role.covers(Role.ADMIN):
            raise RoleError(
                f"you may not make a token for {account.name}",
                "that requires the role admin",
                "to make your own, leave out --user",
            )
        return account

    def _parent(self, caller: Caller) -> Token | None:
        """The token that the caller used; raises UnauthenticatedError if it is gone meanwhile."""
        if caller.token is None:
            return None
        stored = self._store.tokens.get(caller.token)
        if stored is None:
            raise UnauthenticatedError(f"token {caller.token} is not valid", "it was revoked", _NEW)
        return stored[0]

    def _role(self, request: TokenRequest, account: Account, caller: Caller) -> Role:
        role = request.role or _lesser(self._accounts.role(account.uid), caller.role)
        if not caller.role.covers(role):
            raise RoleError(
                f"a {caller.role} cannot make a token with the role {role}",
                "a token can do no more than its maker",
                f"--role {caller.role}",
            )
        return role

    def _ring(self, gone: Sequence[TokenId]) -> None:
        for token in gone:
            if bell := self._bells.pop(token, None):
                bell.set()


def _scopes(requested: Sequence[str], role: Role, caller: Caller) -> tuple[str, ...]:
    """Raises UsageError, RoleError."""
    allowed = scopes(role)
    if unknown := [scope for scope in requested if scope not in allowed]:
        raise UsageError(
            f"a {role} cannot have the scope {unknown[0]!r}",
            "there is no such scope, or it requires another role",
            f"one of: {', '.join(allowed)}",
        )
    have = allowed if caller.scopes is None else caller.scopes
    if beyond := [scope for scope in requested if scope not in have]:
        raise RoleError(
            f"this token cannot pass on {beyond[0]}",
            "it lacks that scope",
            "make it on the machine",
        )
    return tuple(scope for scope in requested or default_scopes(role) if scope in have)


def _lesser(role: Role, other: Role) -> Role:
    return role if other.covers(role) else other


def _new_id() -> TokenId:
    return TokenId(secrets.token_hex(6))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
