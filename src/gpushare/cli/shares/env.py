# SPDX-License-Identifier: Apache-2.0
"""`gpushare env`: the environment of a share as shell commands."""

import os
import shlex

import click
import msgspec

from gpushare.cli._connect import client
from gpushare.cli._options import share_argument
from gpushare.model.view import EnterRequest, Entry
from gpushare.session.gpu_choice import require_chosen


@click.command()
@share_argument
@click.option(
    "--shell",
    type=click.Choice(["bash", "fish", "json"]),
    default="bash",
    help="Output syntax; bash works in every POSIX shell.",
)
def env(share: str, shell: str) -> None:
    """Print commands that move the calling shell into SHARE.

    Programs that the shell starts run in the share too. The share is in use until the shell exits.

    \b
    eval "$(gpushare env notebook)"
    gpushare env notebook --shell fish | source
    """
    # In `$(gpushare env …)` the shell starts this process directly, so its parent is the shell.
    request = EnterRequest(pid=os.getppid(), preload=os.environ.get("LD_PRELOAD", ""))
    daemon = client()
    require_chosen(daemon, os.environ, share)
    entry = daemon.enter(share, request)
    if shell == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(entry), indent=2))
        return
    click.echo("\n".join(_fish(entry) if shell == "fish" else _posix(entry)))


def _posix(entry: Entry) -> list[str]:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in entry.env.items()]
    return [f"unset {name}" for name in entry.unset] + exports


def _fish(entry: Entry) -> list[str]:
    exports = [f"set -gx {name} {_fish_quoted(value)}" for name, value in entry.env.items()]
    return [f"set -e {name}" for name in entry.unset] + exports


def _fish_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
