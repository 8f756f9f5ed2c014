# SPDX-License-Identifier: Apache-2.0
"""Contexts: named daemons on other machines, and the selected one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gpushare.model.errors import ConfigError
from gpushare.model.value import Value

from .address import Remote, parse
from .credentials import Credentials, checked, read

LOCAL = "local"  # the context of this machine's daemon
KEYS = ("context", "contexts")  # keys of configuration files that are not settings


class Context(Value):
    """`token_file`: the file of its token; None: the one that `gpushare login` stored. `ca`: the
    authority that signed its certificate. `cert`: a client certificate with its key.
    """

    host: str
    token_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None

    def remote(self, stored: Credentials) -> Remote:
        """Raises ConfigError."""
        host, port, secure = parse(self.host)
        token = read(self.token_file) if self.token_file else stored.get(host, port)
        return Remote(host, port, secure, token, self.ca, self.cert)


class Contexts(Value):
    """`chosen`: the context to use by default; empty: this machine's daemon."""

    named: dict[str, Context] = {}
    chosen: str = ""

    def with_table(self, table: Mapping[str, Any], origin: str) -> "Contexts":
        """These contexts with those of a file. Raises ConfigError."""
        try:
            named = msgspec.convert(table.get("contexts", {}), dict[str, Context], dec_hook=_path)
            chosen = msgspec.convert(table.get("context", self.chosen), str)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"cannot use the contexts of {origin}",
                str(error),
                "a context has host and, optionally, token_file, ca and cert",
            ) from error
        return Contexts(named={**self.named, **named}, chosen=chosen)

    def find(self, name: str, stored: Credentials) -> Remote:
        """Raises ConfigError."""
        if name not in self.named:
            names = ", ".join([LOCAL, *sorted(self.named)])
            raise ConfigError(f"no context {name!r}", f"there are: {names}", "gpushare config path")
        return self.named[name].remote(stored)


def from_environment(env: Mapping[str, str], stored: Credentials) -> Remote | None:
    """The daemon that GPUSHARE_HOST and its related variables name. Raises ConfigError."""
    if not (url := env.get("GPUSHARE_HOST")):
        return None
    host, port, secure = parse(url)
    given = env.get("GPUSHARE_TOKEN")
    token = checked(given, "GPUSHARE_TOKEN") if given else stored.get(host, port)
    return Remote(host, port, secure, token, _file(env, "GPUSHARE_CA"), _file(env, "GPUSHARE_CERT"))


def _file(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]).expanduser().absolute() if env.get(name) else None


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).expanduser()
    raise msgspec.ValidationError(f"Expected an absolute path, got {value!r}")
