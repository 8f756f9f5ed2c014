# SPDX-License-Identifier: Apache-2.0
"""Logs in at an OpenID Connect issuer with a browser on another device (RFC 8628)."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from gpushare.config.address import parse
from gpushare.config.https import send
from gpushare.model.errors import DaemonError, UnauthenticatedError, WaitTimeoutError

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_WELL_KNOWN = "/.well-known/openid-configuration"
_SECONDS, _LARGEST = 10.0, 1 << 20
_SLOWER = 5  # additional seconds between polls when the issuer says slow_down (section 3.5)

_REFUSALS = frozenset((400, 401, 403, 429))  # with a JSON body (RFC 6749, section 5.2)

ShowCode = Callable[[str, str], None]


def login_proof(
    issuer: str, client: str, show_code: ShowCode, *, sleep: Callable[[float], None] = time.sleep
) -> str:
    """A token that the issuer signs for the user who opens the page and enters the code.

    `show_code` receives the page's URL and the code. Raises UnauthenticatedError, WaitTimeoutError,
    DaemonError, ConfigError.
    """
    metadata = _ask(issuer.rstrip("/") + _WELL_KNOWN)
    grant = _ask(
        _endpoint(metadata, "device_authorization_endpoint", issuer),
        {"client_id": client, "scope": "openid profile"},
    )
    try:
        show_code(
            grant.get("verification_uri_complete") or grant["verification_uri"], grant["user_code"]
        )
        form = {"grant_type": GRANT, "device_code": grant["device_code"], "client_id": client}
        pause, left = int(grant.get("interval", 5)), int(grant["expires_in"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(issuer, error) from error
    return _wait(_endpoint(metadata, "token_endpoint", issuer), form, pause, left, sleep)


def _wait(
    endpoint: str, form: Mapping[str, str], pause: int, left: int, sleep: Callable[[float], None]
) -> str:
    while left > 0:
        sleep(pause)
        left -= pause
        response = _ask(endpoint, form)
        match response.get("error"):
            case None:
                return str(response.get("id_token") or response["access_token"])
            # The user has not entered the code yet (RFC 8628, section 3.5).
            case "authorization_pending":
                continue
            case "slow_down":
                pause += _SLOWER
            case refused:
                raise UnauthenticatedError(
                    "the issuer refused the login", str(refused), "gpushare login HOST --oidc"
                )
    raise WaitTimeoutError(
        "no login happened", "the code has expired", "gpushare login HOST --oidc"
    )


def _ask(url: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON answer, also of a refused grant (HTTP 400)."""
    scheme, _, rest = url.partition("://")
    parse(f"{scheme}://{rest.partition('/')[0]}")  # refuses plain HTTP to other machines
    body = urlencode(form).encode() if form else None
    request = urllib.request.Request(url, body, {"Accept": "application/json"})  # noqa: S310
    try:
        with _answer(request) as answer:
            return _document(answer.read(_LARGEST))
    except (OSError, msgspec.DecodeError) as error:
        raise _unusable(url, error) from error


def _answer(request: urllib.request.Request) -> Any:
    """The response, also of a refused grant; redirects are not followed."""
    try:
        return send(request, _SECONDS)
    except urllib.error.HTTPError as error:
        if error.code in _REFUSALS:
            return error
        raise


def _document(text: bytes) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    return document


def _endpoint(metadata: Mapping[str, Any], name: str, issuer: str) -> str:
    if not isinstance(endpoint := metadata.get(name), str):
        raise DaemonError(
            f"the issuer {issuer} has no {name}",
            "it does not support the device grant",
            "create a token on the machine: gpushare token create",
        )
    return endpoint


def _unusable(where: str, error: Exception) -> DaemonError:
    return DaemonError(f"cannot log in at {where}", str(error) or type(error).__name__)
