# SPDX-License-Identifier: Apache-2.0
"""The TLS certificate for remote callers; it can be renewed while the daemon runs."""

import ssl
import stat
from pathlib import Path

from gpushare.model.errors import ConfigError


class Certificate:
    """`context`: for a server, TLS 1.2 or newer. With `client_ca`, callers need a certificate too.

    Raises ConfigError if the files are invalid or do not match.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        self._cert, self._key = cert, key
        self.context = _context()
        self._seen = self._stamp()
        self._load(self.context)
        if client_ca is not None:
            _require_client_certificates(self.context, client_ca)

    def renew(self) -> bool:
        """Load changed files for new connections, and return whether they had changed.

        Raises ConfigError, and keeps the old ones, if the new files are invalid or do not match.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        # Tried on a new context first: a failure would leave the one in use without a key.
        self._load(_context())
        self._load(self.context)
        self._seen = stamp
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise _unusable(f"{self._cert} and {self._key}", error) from error

    def _stamp(self) -> tuple[int, ...]:
        try:
            stats = [path.stat() for path in (self._cert, self._key)]
        except OSError as error:
            raise _unusable(f"{self._cert} and {self._key}", error) from error
        if stats[1].st_mode & stat.S_IRWXO:
            raise ConfigError(
                f"everyone can read {self._key}",
                "a private key must be secret",
                f"chmod o= {self._key}",
            )
        return tuple(
            value for each in stats for value in (each.st_mtime_ns, each.st_ino, each.st_size)
        )


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Compression would show secrets by their length (CRIME, CVE-2012-4929). By renegotiation a
    # client can make the server repeat the costly part of the handshake.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # The server's parser, h11, speaks HTTP/1.1 only.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_client_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        raise _unusable(str(client_ca), error) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _no_password() -> str:
    """Refuses encrypted keys; a daemon cannot ask for a password."""
    raise ValueError("the key is encrypted")


def _unusable(what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot use {what}", str(error), "set tls_cert and tls_key: gpushare config show"
    )
