# SPDX-License-Identifier: Apache-2.0
"""Tokens in files that only their user can read."""

import os
import stat
from pathlib import Path

from gpushare.model.errors import ConfigError


class Credentials:
    """Tokens that `gpushare login` stored, one file per daemon, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tokens"

    def path(self, host: str, port: int) -> Path:
        return self._folder / f"{host}_{port}"

    def get(self, host: str, port: int) -> str | None:
        """Raises ConfigError if other users can read the file."""
        path = self.path(host, port)
        return read(path) if path.exists() else None

    def put(self, host: str, port: int, token: str) -> Path:
        path = self.path(host, port)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written to a new file and renamed, so that the token is complete and never readable by
        # others. O_EXCL and O_NOFOLLOW refuse a file that someone else prepared.
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(opened, "w") as file:
            file.write(f"{token}\n")
        return fresh.replace(path)

    def remove(self, host: str, port: int) -> bool:
        """Returns whether there was a token."""
        try:
            self.path(host, port).unlink()
        except FileNotFoundError:
            return False
        return True


def read(path: Path) -> str:
    """The token in a file. Raises ConfigError if other users can read or own it."""
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            # The open file is checked, not the path, which could change in between.
            text = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token in {path}", str(error)) from error
    if status.st_uid not in {os.geteuid(), 0} or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"other users can read the token in {path}",
            f"its mode is {stat.S_IMODE(status.st_mode):04o}, its owner uid {status.st_uid}",
            f"create a new token, then: chmod 600 {path}",
        )
    return checked(text, str(path))


def checked(text: str, where: str) -> str:
    """A token that fits in an HTTP header. Raises ConfigError, which does not contain it."""
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ConfigError(f"{where} contains no valid token", "a token is one word: gs_…")
    return text
