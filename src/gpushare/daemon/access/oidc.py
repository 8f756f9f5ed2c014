# SPDX-License-Identifier: Apache-2.0
"""Verifies logins by an OpenID Connect issuer (OpenID Connect Core 1.0, RFC 7519)."""

import asyncio
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpushare.model.access.token import Login
from gpushare.model.errors import ConfigError, DaemonError, GpushareError, UnauthenticatedError
from gpushare.model.units import Seconds
from gpushare.model.value import Value
from gpushare.model.version import install_again

from .https import fetch

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")  # never "none", never a shared secret
SESSION = Seconds(8 * 3600)
LEEWAY_SECONDS = 60
_FRESH_SECONDS = 3600.0  # how old the issuer's keys may be
_PAUSE_SECONDS = 10.0  # between two fetches because of unknown keys
_WELL_KNOWN = "/.well-known/openid-configuration"

Fetch = Callable[[str], dict[str, Any]]


class LoginClaims(Value):
    """The user that the issuer names, and whether it calls them an operator."""

    user: str
    operator: bool = False


@dataclass(frozen=True)
class IssuerSettings:
    """`user_claim` names the account; `operators` are values of `role_claim`."""

    issuer: str
    audience: str
    client: str
    user_claim: str = "preferred_username"
    role_claim: str = ""
    operators: tuple[str, ...] = ()


class Issuer:
    """Raises ConfigError where joserfc is not installed."""

    session = SESSION

    def __init__(
        self, settings: IssuerSettings, elapsed: Callable[[], float], fetched: Fetch = fetch
    ) -> None:
        self._settings, self._elapsed, self._fetch = settings, elapsed, fetched
        self._jose = _jose()
        self._keys: Any = None
        self._looked = -_FRESH_SECONDS
        self._fetching = asyncio.Lock()

    @property
    def login(self) -> Login:
        return Login(issuer=self._settings.issuer, client=self._settings.client)

    async def verify(self, proof: str, now: datetime) -> LoginClaims:
        """The claims of a signed token; raises UnauthenticatedError, DaemonError."""
        try:
            claims = self._claims(await self._decoded(proof), now)
        except (self._jose.errors.JoseError, ValueError, TypeError, KeyError) as error:
            because = str(error) or type(error).__name__
            raise UnauthenticatedError(
                "the login token was rejected", because, "log in again: gpushare login HOST --oidc"
            ) from error
        return self._login_claims(claims)

    async def _decoded(self, proof: str) -> dict[str, Any]:
        """The token's claims, once its signature is verified."""
        await self._look(_FRESH_SECONDS)
        try:
            return self._opened(proof)
        except self._jose.errors.InvalidKeyIdError:
            await self._look(_PAUSE_SECONDS)  # the issuer may have changed its keys
            return self._opened(proof)

    def _opened(self, proof: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EdDSA is an old name for Ed25519 (RFC 9864)
            token = self._jose.jwt.decode(proof, self._keys, algorithms=ALGORITHMS)
        claims: dict[str, Any] = token.claims
        return claims

    async def _look(self, age: float) -> None:
        """Fetch the keys unless they are younger than `age` seconds."""
        async with self._fetching:
            if self._elapsed() - self._looked < age:
                return
            try:
                self._keys = await asyncio.to_thread(self._fetched)
            except (OSError, ValueError, KeyError, TypeError, self._jose.errors.JoseError) as error:
                # While the issuer cannot be reached the keys that are known stay in use.
                if self._keys is None:
                    raise _unreachable(self._settings.issuer, error) from error
            # Also after a failure with older keys at hand: a server that is down is not asked at
            # each login.
            self._looked = self._elapsed()

    def _fetched(self) -> Any:
        issuer = self._settings.issuer
        about = self._fetch(issuer.rstrip("/") + _WELL_KNOWN)
        # OpenID Connect Discovery 1.0, section 4.3: the issuer must name itself exactly so, which
        # keeps out the document of another server.
        if about["issuer"] != issuer:
            raise ValueError(f"it calls itself {about['issuer']!r}")
        return self._jose.jwk.KeySet.import_key_set(self._fetch(about["jwks_uri"]))

    def _claims(self, claims: dict[str, Any], now: datetime) -> dict[str, Any]:
        self._jose.jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            exp={"essential": True},
        ).validate(claims)
        return claims

    def _login_claims(self, claims: Mapping[str, Any]) -> LoginClaims:
        user = claims.get(self._settings.user_claim)
        if not isinstance(user, str) or not user:
            raise UnauthenticatedError(
                "the login token names no user",
                f"it has no claim {self._settings.user_claim!r}",
                "the daemon's settings: oidc_user_claim",
            )
        says = claims.get(self._settings.role_claim) if self._settings.role_claim else None
        roles = says if isinstance(says, list) else [says]
        return LoginClaims(
            user=user, operator=any(role in self._settings.operators for role in roles)
        )


class _Jose:
    """joserfc's parts, imported only where there is an issuer."""

    def __init__(self) -> None:
        from joserfc import errors, jwk, jwt  # noqa: PLC0415 (start-up time)

        self.errors, self.jwk, self.jwt = errors, jwk, jwt


def _jose() -> _Jose:
    try:
        return _Jose()
    except ModuleNotFoundError as error:
        raise ConfigError(
            "cannot use oidc_issuer",
            f"the package {error.name} is missing",
            install_again(error.name or "joserfc"),
        ) from error


def _unreachable(issuer: str, error: Exception) -> GpushareError:
    return DaemonError(
        f"the issuer {issuer} cannot be reached", str(error) or type(error).__name__, "try again"
    )
