# SPDX-License-Identifier: Apache-2.0
"""`gpushare env`: the environment of a share as shell commands."""

import os
import shlex
import sys
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from gpushare.cli._connect import client
from gpushare.cli._options import share_argument
from gpushare.model.view import Entry
from gpushare.session.acquire import sanitizer_options
from gpushare.session.gpu_choice import require_chosen


@click.command()
@share_argument
@click.option(
    "--shell",
    type=click.Choice(["bash", "fish", "json"]),
    default="bash",
    help="Output syntax; bash works in every POSIX shell.",
)
@click.pass_context
def env(context: click.Context, share: str, shell: str) -> None:
    """Print commands that move the shell that evaluates them into SHARE.

    Printing changes nothing: no process enters the share until a shell evaluates the output.
    Programs that the shell starts then run in the share too. The share is in use until the shell
    exits. In scripts and services use `gpushare exec` instead.

    \b
    eval "$(gpushare env notebook)"
    gpushare env notebook --shell fish | source
    """
    daemon = client()
    require_chosen(daemon, os.environ, share)
    entry = daemon.environment(share, os.environ.get("LD_PRELOAD", ""))
    entry = replace(entry, env={**entry.env, **sanitizer_options(entry, os.environ)})
    if shell == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(entry), indent=2))
        return
    command = _command(context.find_root())
    click.echo("\n".join(_fish(entry, command) if shell == "fish" else _posix(entry, command)))


def _command(root: click.Context) -> str:
    """This gpushare with the daemon that it has used, as the shell starts it."""
    script = Path(sys.argv[0])
    installed = script.name == "gpushare" and os.access(script, os.X_OK)
    words = [str(script.absolute())] if installed else [sys.executable, "-m", "gpushare.cli"]
    for option in ("socket", "context"):
        if value := root.params.get(option):
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def _posix(entry: Entry, command: str) -> list[str]:
    exports = [f"export {name}={shlex.quote(value)};" for name, value in entry.env.items()]
    changes = [f"unset {name};" for name in entry.unset] + exports
    # In a subshell `$$` is still the shell itself. Nothing is exported if it may not enter.
    return [f"{command} enter {entry.share} --pid $$ && {{", *changes, "}"]


def _fish(entry: Entry, command: str) -> list[str]:
    exports = [f"set -gx {name} {_fish_quoted(value)}" for name, value in entry.env.items()]
    changes = [f"set -e {name}" for name in entry.unset] + exports
    return [f"if {command} enter {entry.share} --pid $fish_pid", *changes, "end"]


def _fish_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
