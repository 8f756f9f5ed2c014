# SPDX-License-Identifier: Apache-2.0
"""Reads settings from their sources and remembers where each value came from.

Sources in order; later ones win, key by key:

1. Defaults, which depend on the user: root has the directories of the machine (/run/gpushare,
   /var/lib/gpushare), others those of the XDG base directory specification.
2. /etc/gpushare/config.toml, then /etc/gpushare/conf.d/*.toml in alphabetical order.
3. $XDG_CONFIG_HOME/gpushare/config.toml.
4. Environment variables GPUSHARE_<KEY>. Text is converted to the type of the key; lists are `a,b`.
5. Flags of the command line.

Every value is checked in its own source, so an error names the file, variable or flag and the key.
Unknown keys are errors. Two defaults depend on other keys: `socket` is in `runtime_dir`, and
`audit_file` in `state_dir` unless the machine's own directories apply.

Files may also contain contexts (`contexts.py`). `Config.reachable` combines contexts, variables and
`socket` into the daemon to use. Nothing here connects to it or writes a file.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gpushare.model.errors import BadQuantityError, ConfigError, SocketDeniedError
from gpushare.model.units import is_number, parse_bytes

from .address import Remote, listen_address
from .announced import refuses, socket_of
from .contexts import KEYS, LOCAL, Contexts, from_environment
from .credentials import Credentials
from .former_keys import FORMER, FORMER_VARIABLES, renamed, warnings
from .machine_daemon import MachineDaemon
from .settings import Settings

# A struct's own fields first, then what it inherits.
_OWN = Settings.__annotations__
FIELDS = {
    field.name: field
    for field in sorted(msgspec.structs.fields(Settings), key=lambda field: field.name not in _OWN)
}
VARIABLES = {name: f"GPUSHARE_{name.upper()}" for name in FIELDS}
SIZES = frozenset(
    {
        "swap_memory",
        "swap_ahead",
        "audit_size",
        "audit_keep",
        "output_keep",
        "output_keep_user",
        "output_keep_machine",
        "log_keep",
    }
)
LISTS = frozenset(("hosts", "operators", "viewers", "oidc_operators"))  # `a,b` in variables
DEFAULT = "default"
_SYSTEM = "etc/gpushare"
_SOCKET = "gpushare.sock"
_LOG, _AUDIT = "var/log/gpushare", "audit.jsonl"


@dataclass(frozen=True)
class Config:
    """`origins`: file, variable or flag of each key. `warnings`: what the next release refuses."""

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[Path, ...]
    machine: MachineDaemon
    contexts: Contexts
    env: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def credentials(self) -> Credentials:
        return Credentials(state_home(self.env))

    def reachable(self, context: str | None = None) -> Path | Remote:
        """The daemon to use: the one that is named, or else this machine's.
        Raises ConfigError, SocketDeniedError.
        """
        return self.named(context) or self.reachable_socket()

    def named(self, context: str | None = None) -> Path | Remote | None:
        """The daemon that the caller names, by the first of: `context`, `--socket`, GPUSHARE_HOST,
        GPUSHARE_CONTEXT, GPUSHARE_SOCKET, the context of the files, their socket. None: this
        machine's daemon. Raises ConfigError.
        """
        origin = self.origins["socket"]
        if not context and origin != _flag("socket"):
            if remote := from_environment(self.env, self.credentials):
                return remote
            context = self.env.get("GPUSHARE_CONTEXT")
            if not context and origin != VARIABLES["socket"]:
                context = self.contexts.chosen
        if not context or context == LOCAL:
            return None if origin == DEFAULT else self.settings.socket
        return self.contexts.find(context, self.credentials)

    def reachable_socket(self) -> Path:
        """The socket that is set, else that of the user's daemon, else that of the machine's."""
        own = self.settings.socket
        if self.origins["socket"] != DEFAULT:
            return own
        served = self.machine.socket.exists()
        # The user's daemon may have been started from a login with another runtime directory.
        for socket in (own, socket_of(self.settings.state_dir)):
            # A killed daemon leaves its socket. It counts only where the machine has no daemon.
            if socket and _reachable(socket) and not (served and refuses(socket)):
                return socket
        # A user without a daemon of their own uses the daemon of the machine.
        if served:
            return self.machine.socket
        _check_owner(own.parent)
        return own


def load(
    flags: Mapping[str, object] = {},
    env: Mapping[str, str] | None = None,
    root: Path = Path("/"),
    uid: int | None = None,
) -> Config:
    """Read every source. Raises ConfigError, which names the source and the key.

    `flags`: values by key; None: not given.
    """
    env = os.environ if env is None else env
    uid = os.geteuid() if uid is None else uid
    files = tuple(_files(env, root))
    written = {path: _table(path) for path in files}
    tables = {path: renamed(table) for path, table in written.items()}
    values = _defaults(env, root, uid)
    origins = dict.fromkeys(FIELDS, DEFAULT)
    for origin, table in _sources(tables, env, flags):
        values |= table
        origins |= dict.fromkeys(table, origin) if origin else _flags(table)
    # These two follow other keys, so they are set after all sources are read.
    if origins["socket"] == DEFAULT:
        values["socket"] = values["runtime_dir"] / _SOCKET
    if origins["audit_file"] == DEFAULT:
        machine = uid == 0 and origins["state_dir"] == DEFAULT
        values["audit_file"] = (root / _LOG if machine else values["state_dir"]) / _AUDIT
    served_by = MachineDaemon(root, _home(env, "CONFIG", ".config").parent)
    settings = msgspec.convert(values, Settings, dec_hook=_decode)
    complaints = tuple(warnings(written, env))
    return Config(settings, origins, files, served_by, _contexts(tables), env, complaints)


def paths(env: Mapping[str, str] | None = None, root: Path = Path("/")) -> tuple[Path, ...]:
    """The configuration files in order, whether they exist or not."""
    env = os.environ if env is None else env
    system = root / _SYSTEM
    fragments = sorted((system / "conf.d").glob("*.toml"))
    return (system / "config.toml", *fragments, _home(env, "CONFIG", ".config") / "config.toml")


def state_home(env: Mapping[str, str] | None = None) -> Path:
    """The directory for a user's state (XDG base directory specification)."""
    return _home(os.environ if env is None else env, "STATE", ".local/state")


def describe(name: str) -> str:
    """The description of a key."""
    kind: Any = FIELDS[name].type
    return str(kind.__metadata__[0].description)


def _files(env: Mapping[str, str], root: Path) -> Iterator[Path]:
    return (path for path in paths(env, root) if _reachable(path))


def _reachable(path: Path) -> bool:
    """Whether a file exists. False without permission: `su` and `sudo` keep the HOME of others."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _home(env: Mapping[str, str], what: str, fallback: str) -> Path:
    chosen = env.get(f"XDG_{what}_HOME", "")
    # The specification requires that relative paths in these variables are ignored.
    base = Path(chosen) if chosen.startswith("/") else Path(env.get("HOME") or "/") / fallback
    return base / "gpushare"


def _defaults(env: Mapping[str, str], root: Path, uid: int) -> dict[str, Any]:
    if uid == 0:
        runtime, state = root / "run/gpushare", root / "var/lib/gpushare"
    else:
        given = Path(env.get("XDG_RUNTIME_DIR", ""))
        runtime = given / "gpushare" if _of_login(given) else root / "tmp" / f"gpushare-{uid}"
        state = state_home(env)
    return {"state_dir": state, "runtime_dir": runtime}


def _of_login(runtime: Path) -> bool:
    """Whether XDG_RUNTIME_DIR can be used: `su` keeps that of others, and a logout removes it."""
    if not runtime.is_absolute():
        return False
    try:
        status = runtime.stat()
    except FileNotFoundError:
        return os.access(runtime.parent, os.W_OK)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _sources(
    tables: Mapping[Path, Mapping[str, Any]],
    env: Mapping[str, str],
    flags: Mapping[str, object],
) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, table in tables.items():
        settings = {key: value for key, value in table.items() if key not in KEYS}
        yield str(path), {key: _checked(key, value, str(path)) for key, value in settings.items()}
    for key, variable in (*FORMER_VARIABLES.items(), *VARIABLES.items()):
        if text := env.get(variable):
            yield variable, {key: _checked(key, text, variable)}
    given = {key: value for key, value in flags.items() if value is not None}
    yield "", {key: _checked(key, value, _flag(key)) for key, value in given.items()}


def _flags(settings: Mapping[str, object]) -> dict[str, str]:
    return {key: _flag(key) for key in settings}


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _contexts(tables: Mapping[Path, Mapping[str, Any]]) -> Contexts:
    contexts = Contexts()
    for path, table in tables.items():
        contexts = contexts.with_table(table, str(path))
    return contexts


def _table(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 (start-up time: most users have no file)

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}", str(error), "correct the file") from error
    for key in table:
        if key not in FIELDS and key not in KEYS and key not in FORMER:
            raise _unknown(key, path)
    return table


def _unknown(key: str, path: Path) -> ConfigError:
    from difflib import get_close_matches  # noqa: PLC0415 (start-up time)

    near = get_close_matches(key, FIELDS, 1, 0)
    return ConfigError(
        f"unknown key {key!r} in {path}", "gpushare has no such setting", f"did you mean {near[0]}?"
    )


def _checked(key: str, value: Any, origin: str) -> Any:
    """The value with the type of its key; variables and flags give numbers as text."""
    kind = FIELDS[key].type
    text = not origin.startswith("/")
    try:
        value = parse_bytes(value) if key in SIZES and _is_size(value) else value
        value = value.split(",") if text and key in LISTS else value
        setting = msgspec.convert(value, kind, strict=not text, dec_hook=_decode)
        if key == "listen" and setting:
            listen_address(setting)
    except (msgspec.ValidationError, BadQuantityError, ConfigError) as error:
        raise ConfigError(f"cannot use {key} of {origin}", str(error), describe(key)) from error
    if isinstance(setting, Path):
        setting = setting.expanduser()
        if not setting.is_absolute() and not text:
            raise ConfigError(f"cannot use {key} of {origin}", "the path is not absolute")
        return setting.absolute()
    return setting


def _is_size(value: Any) -> bool:
    """Whether the value is a size such as `64GiB`; plain digits are bytes, and may be 0."""
    return isinstance(value, str) and not is_number(value)


def _decode(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise msgspec.ValidationError(f"Expected a path, got {value!r}")


def _check_owner(folder: Path) -> None:
    """Raises SocketDeniedError for another user's directory: anyone can create one in /tmp."""
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return
    if owner not in {0, os.geteuid()}:
        raise SocketDeniedError(
            f"{folder} belongs to another user", f"its owner is uid {owner}", "set XDG_RUNTIME_DIR"
        )
