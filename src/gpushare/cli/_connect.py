# SPDX-License-Identifier: Apache-2.0
"""The door to the daemon; for what can be seen without one, to the same code in this process."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

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


def config(flags: Mapping[str, object] = {}) -> "Config":
    """What files, variables and the command line's own flags say."""
    from gpushare.config.sources import load  # noqa: PLC0415 (start-up time)

    context = click.get_current_context(silent=True)
    socket = context.find_root().params.get("socket") if context else None
    return load({"socket": socket, **{k: v for k, v in flags.items() if v is not None}})


def client() -> "Client":
    """The daemon that is meant: of this machine, or of another by its context or address."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    context = click.get_current_context(silent=True)
    named = context.find_root().params.get("context") if context else None
    return Client(config().reachable(named))


def local_client() -> "Client":
    """The daemon of this machine, whatever context is meant otherwise."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    return Client(config().reachable_socket())


def require_local(daemon: "Client", what: str) -> None:
    """Raises UnsupportedError when the daemon is on another machine."""
    if not isinstance(daemon.where, Path):
        raise UnsupportedError(
            f"{what} on {daemon.where}",
            "it takes files and processes of that machine",
            "log in to it: ssh HOST gpushare …",
        )


def gpus() -> "Sequence[GpuView]":
    """From the daemon, or, said on stderr, straight from the driver."""
    daemon = client()
    try:
        return daemon.gpus()
    except DaemonUnreachableError:
        if not isinstance(daemon.where, Path):
            raise
        from gpushare.daemon import look  # noqa: PLC0415 (start-up time)

        click.echo("gpushare: no daemon; asking the driver itself", err=True)
        return look(config().settings.runtime_dir)


def gpu_names() -> "Sequence[GpuView]":
    """The GPUs to name in a table of shares: none while the driver refuses to tell."""
    try:
        return client().gpus()
    except HardwareError as error:
        click.echo(f"gpushare: {error}", err=True)
        return ()


def complete_share(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    return _items(incomplete, lambda: [share.name for share in client().shares()])


def complete_gpu(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    return _items(
        incomplete,
        lambda: [name for gpu in client().gpus() for name in (str(gpu.index), gpu.uuid)],
    )


def _items(incomplete: str, names: Callable[[], list[str]]) -> "list[CompletionItem]":
    """A shell that completes wants no error, only fewer words."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    try:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]
    except GpushareError:
        return []
