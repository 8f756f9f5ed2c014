# SPDX-License-Identifier: Apache-2.0
"""A small OpenID Connect issuer with keys of its own, on this machine."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from support.served import served

CLIENT = "gpushare-cli"
KINDS = {"RS256": ("RSA", 2048), "ES256": ("EC", "P-256"), "Ed25519": ("OKP", "Ed25519")}


class Issuer(ThreadingHTTPServer):
    """`answers` of the token endpoint come in order, the last again and again.

    `clock` gives the seconds since the epoch at which it signs.
    """

    daemon_threads = True

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._clock = clock
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.keys = [self.new_key("first")]
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.about: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "device_authorization_endpoint": f"{self.url}/device",
            "token_endpoint": f"{self.url}/token",
        }

    @staticmethod
    def new_key(kid: str, algorithm: str = "ES256") -> Any:
        kind, size = KINDS[algorithm]
        maker = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}[kind]
        return maker.generate_key(size, {"kid": kid, "use": "sig"})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self._clock())
        found = {
            "iss": self.url,
            "aud": "gpushare",
            "sub": "1234",
            "iat": now,
            "exp": now + 300,
            "preferred_username": "lin",
        }
        return {name: value for name, value in (found | changes).items() if value is not None}

    def sign(self, key: Any = None, algorithm: str = "ES256", **changes: Any) -> str:
        key = key or self.keys[0]
        header = {"alg": algorithm, "kid": key.kid}
        return jwt.encode(header, self.claims(**changes), key, algorithms=[algorithm])

    def unsigned(self, **changes: Any) -> str:
        """`alg` none (RFC 7519, section 6)."""
        return f"{_part({'alg': 'none'})}.{_part(self.claims(**changes))}."

    def confused(self) -> str:
        """Signed with the public key as if it were a shared secret."""
        secret, header = self.keys[0].as_pem(private=False), {"alg": "HS256"}
        signed = f"{_part({**header, 'kid': self.keys[0].kid})}.{_part(self.claims())}"
        return f"{signed}.{_text(hmac.digest(secret, signed.encode(), 'sha256'))}"


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {}))
        if self.path == "/keys":
            keys = KeySet(self.server.keys).as_dict(private=False)
            return self._send(200, keys)
        if self.path == "/.well-known/openid-configuration":
            return self._send(200, self.server.about)
        return self._send(404, {})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.server.asked.append((self.path, parse_qs(self.rfile.read(length).decode())))
        if self.path == "/device":
            return self._send(200, self._device())
        answers = self.server.answers
        return self._send(*(answers.pop(0) if len(answers) > 1 else answers[0]))

    def _device(self) -> dict[str, Any]:
        page = f"{self.server.url}/page"
        return {
            "device_code": "secret-code",
            "user_code": "ABCD-EFGH",
            "verification_uri": page,
            "expires_in": 60,
            "interval": 1,
        }

    def _send(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


def _part(value: dict[str, Any]) -> str:
    return _text(json.dumps(value).encode())


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def issuing(clock: Callable[[], float] = time.time) -> AbstractContextManager[Issuer]:
    return served(Issuer(clock))
