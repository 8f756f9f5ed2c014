# SPDX-License-Identifier: Apache-2.0
"""Signs heads with Ed25519 (RFC 8032), if the package `cryptography` is installed.

A keyed hash would not do: a user who can verify it can also forge it.
"""

import os
import stat
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpushare.model.errors import DeniedError, StateCorruptError, UsageError
from gpushare.model.version import install_again

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE, PUBLIC_FILE = "audit.key", "audit.pub"
MISSING = f"the package cryptography is missing: {install_again('cryptography')}"
_PREFIX = "ed25519:"
_BYTES = 32


class Signer(Protocol):
    """`key`: the public one, empty where nothing is signed; `why_not` says why."""

    @property
    def key(self) -> str: ...

    @property
    def why_not(self) -> str: ...

    def sign(self, text: bytes) -> str: ...


class Unsigned:
    key, why_not = "", MISSING

    def sign(self, text: bytes) -> str:  # noqa: ARG002
        return ""


class Ed25519Signer:
    why_not = ""

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.key = _PREFIX + b64encode(private.public_key().public_bytes_raw()).decode()

    def sign(self, text: bytes) -> str:
        return b64encode(self._private.sign(text)).decode()


def signer(state_dir: Path) -> Signer:
    """The machine's own key, made if there is none.

    Raises DeniedError if other users can read it, StateCorruptError.
    """
    if not available():
        return Unsigned()
    had_key = (state_dir / KEY_FILE).exists()
    own = Ed25519Signer(_private(state_dir / KEY_FILE))
    published = public_key(state_dir)
    if had_key and published not in {"", own.key}:
        raise StateCorruptError(
            f"{state_dir / KEY_FILE} and {PUBLIC_FILE} are not of one pair",
            "one of them was damaged or replaced",
            f"`gpushare audit ls --action audit.head` shows the key: remove {PUBLIC_FILE} if it is "
            "the wrong one, else put the key back from a copy",
        )
    _publish(state_dir / PUBLIC_FILE, own.key)
    return own


def public_key(state_dir: Path) -> str:
    """The public key of this machine's heads; empty if there is none."""
    try:
        return (state_dir / PUBLIC_FILE).read_text(errors="replace").strip()
    except OSError:
        return ""


def available() -> bool:
    """Whether signatures can be made and checked here."""
    try:
        import cryptography  # noqa: F401, PLC0415 (start-up time)
    except ModuleNotFoundError:
        return False
    return True


def genuine(key: str, text: bytes, signature: str) -> bool:
    """Whether the key has signed the text."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        Ed25519PublicKey.from_public_bytes(raw_key(key)).verify(b64decode(signature), text)
    except (InvalidSignature, UsageError, NotBase64):
        return False
    return True


def raw_key(key: str) -> bytes:
    """Raises UsageError."""
    try:
        raw = b64decode(key.removeprefix(_PREFIX), validate=True)
    except (NotBase64, ValueError):
        raw = b""
    if len(raw) != _BYTES or not key.startswith(_PREFIX):
        raise UsageError(
            f"{key!r} is not a public key", "public keys look like ed25519:…", "gpushare audit key"
        )
    return raw


def _private(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    if not path.exists():
        _write(path, b64encode(Ed25519PrivateKey.generate().private_bytes_raw()) + b"\n", 0o600)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise DeniedError(
            f"others can read {path}",
            f"its mode is {mode:o}, so any user may have signed with it",
            "remove it: the daemon makes a new key, and `gpushare audit key` shows it",
        )
    try:
        return Ed25519PrivateKey.from_private_bytes(b64decode(path.read_bytes()))
    except (ValueError, NotBase64) as error:
        raise StateCorruptError(
            f"{path} is not a signing key", str(error), "restore it from a backup, or remove it"
        ) from error


def _publish(path: Path, key: str) -> None:
    if public_key(path.parent) != key:
        # `_write` only creates files (O_EXCL), so the old one goes first.
        path.unlink(missing_ok=True)
        _write(path, f"{key}\n".encode(), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        # The umask may have taken bits from the mode that `open` was given.
        os.fchmod(descriptor, mode)
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
