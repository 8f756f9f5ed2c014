# SPDX-License-Identifier: Apache-2.0
"""The command line. `main` is the entry point; every verb has a file of its name."""

import os
import sys
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

import click

from gpushare import __version__
from gpushare.cli._format.output import JSON

from ._errors import FAILED, report
from ._group import VerbGroup

__all__ = ["command", "main"]
COMPLETING = "_GPUSHARE_COMPLETE"  # what the shell's completion script asks for


@click.command(
    "gpushare",
    cls=VerbGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--socket", metavar="PATH", help="The daemon's socket.")
@click.option("--context", "context", metavar="NAME", help="Whose daemon: one of the contexts.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colours.",
)
@click.option("--version", is_flag=True, help="Print the version and end.")
@click.pass_context
def command(ctx: click.Context, /, *, color: str, version: bool, **_: str | None) -> None:
    """Give every process a share of a GPU, and make the share real.

    \b
    gpushare run -m 8GiB -c 50 -- python train.py
    gpushare ps
    gpushare verify train-1
    gpushare simulate h200-1 -- gpushare gpus      # no GPU needed
    """
    _choose_colour(color)
    if version:
        click.echo(f"gpushare {__version__}")
    elif ctx.invoked_subcommand is None:
        from .status import status  # noqa: PLC0415 (start-up time)

        status()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    _fill_closed_streams()
    meta: dict[str, Any] = {}
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if COMPLETING in os.environ:
            command.main(prog_name="gpushare", complete_var=COMPLETING)
        with command.make_context("gpushare", argv) as context:
            meta = context.meta
            command.invoke(context)
        sys.stdout.flush()
    except BrokenPipeError:
        _end_quietly()
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (the one place that turns errors into words)
        as_json = meta.get(JSON, _asks_for_json(argv))
        sys.exit(report(error, as_json=as_json, failed=meta.get(FAILED, 1)))


def _fill_closed_streams() -> None:
    """What the caller has closed is /dev/null: else our next file would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _asks_for_json(argv: Sequence[str]) -> bool:
    """Whether words that could not be parsed ask for it."""
    own = list(takewhile(lambda word: word != "--", argv))
    return "--json" in own or any(
        option in {"-o", "--output"} and value.startswith("json") for option, value in pairwise(own)
    )


def _choose_colour(color: str) -> None:
    if color == "always":
        os.environ["FORCE_COLOR"] = "1"
        os.environ.pop("NO_COLOR", None)
    elif color == "never":
        os.environ["NO_COLOR"] = "1"


def _end_quietly() -> None:
    """The reader of our output is gone: end quietly, as `ps | head -1` expects."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)  # 128 + SIGPIPE
