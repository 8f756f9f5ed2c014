# SPDX-License-Identifier: Apache-2.0
"""Which daemon a command talks to, and what works without one.

The daemon is, in this order: `--context` or `--socket`; GPUSHARE_HOST; GPUSHARE_CONTEXT;
GPUSHARE_SOCKET; the context of the configuration files; the daemon of this machine. The rule
itself is in `config.sources.Config.reachable`. A client keeps no connection open, so a command may
make several.

Without a daemon `gpus` reads the driver in this process, with the daemon's own code. This is one of
the two imports of `gpushare.daemon` in the command line; `cli/daemon/daemon.py` has the other.
Modules that take long to import are imported inside functions: tests/test_imports.py holds the
start-up time.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._format.output import note
from gpushare.model.errors import (
    DaemonUnreachableError,
    GpushareError,
    HardwareError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gpushare.client import Client
    from gpushare.config.sources import Config
    from gpushare.model.view import GpuView
    from gpushare.session.own_daemon import OwnDaemon

_OWN = "gpushare.own_daemon"  # in the context of the command: one for all that it asks


def config(flags: Mapping[str, object] = {}) -> "Config":
    """The settings from files, variables and the options of the command line."""
    from gpushare.config.sources import load  # noqa: PLC0415 (start-up time)

    context = click.get_current_context(silent=True)
    socket = context.find_root().params.get("socket") if context else None
    return load({"socket": socket, **{k: v for k, v in flags.items() if v is not None}})


def client() -> "Client":
    """A client of the selected daemon, on this machine or another one."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    context = click.get_current_context(silent=True)
    named = context.find_root().params.get("context") if context else None
    return Client(config().reachable(named))


def own_daemon() -> "OwnDaemon":
    """For commands that make shares: starts a daemon where none runs, and says so on stderr."""
    from gpushare.session.own_daemon import OwnDaemon  # noqa: PLC0415 (start-up time)

    root = click.get_current_context().find_root()
    if (own := root.meta.get(_OWN)) is None:
        own = root.meta[_OWN] = OwnDaemon(config(), note, root.params.get("context"))
    assert isinstance(own, OwnDaemon)
    return own


def local_client() -> "Client":
    """A client of this machine's daemon, regardless of the context."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    return Client(config().reachable_socket())


def other_daemon() -> Path | None:
    """The socket of the machine's daemon, where commands use the caller's own next to it."""
    settings, where = config(), client().where
    machine = settings.machine.socket
    own = isinstance(where, Path) and where != machine and settings.named() is None
    return machine if own and machine.exists() else None


def require_local(daemon: "Client", what: str) -> Path:
    """The daemon's socket; raises UnsupportedError when it is on another machine."""
    if isinstance(daemon.where, Path):
        return daemon.where
    raise UnsupportedError(
        f"{what} on {daemon.where}",
        "it needs files and processes of that machine",
        "log in to it: ssh HOST gpushare …",
    )


def gpus() -> "Sequence[GpuView]":
    """From the daemon, or from the driver when none answers; a message on stderr says so."""
    daemon = client()
    try:
        return daemon.gpus()
    except DaemonUnreachableError:
        # The driver of this machine says nothing about another machine.
        if not isinstance(daemon.where, Path):
            raise
        from gpushare.daemon import look  # noqa: PLC0415 (start-up time)

        click.echo("gpushare: no daemon answers; reading the GPUs from the driver", err=True)
        return look(config().settings.runtime_dir)


def gpu_names() -> "Sequence[GpuView]":
    """GPU names for a table of shares; empty when the driver fails."""
    try:
        return client().gpus()
    except HardwareError as error:
        note(str(error))
        return ()


def complete_share(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Names of shares that the caller may see, for the shell."""
    return _items(incomplete, lambda: [share.ref or share.name for share in client().shares()])


def complete_gpu(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Indices and UUIDs of GPUs, for the shell."""
    return _items(
        incomplete,
        lambda: [name for gpu in client().gpus() for name in (str(gpu.index), gpu.uuid)],
    )


def complete_target(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Indices and UUIDs of GPUs, and `node`, for the shell."""
    return _items(
        incomplete,
        lambda: ["node", *(name for gpu in client().gpus() for name in (str(gpu.index), gpu.uuid))],
    )


def _items(incomplete: str, names: Callable[[], list[str]]) -> "list[CompletionItem]":
    """Completions that match; none on an error, because a shell cannot show it."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    try:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]
    except GpushareError:
        return []
