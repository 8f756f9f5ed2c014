# SPDX-License-Identifier: Apache-2.0
"""The command line. `main` is the entry point.

A command is one module named after it, below shares/, gpus/, policy/, audit/, access/ or daemon/.
`_group` imports it only when it runs. A command

- reads its options into values of `model` (`_options`, `policy/_options`),
- calls the daemon through `_connect`, the only module here that chooses a daemon,
- hands values and columns to `_format/output`, which prints them as a table, JSON or YAML.

stdout carries data only; messages and errors go to stderr. Commands do not catch errors to print
them: they raise, and `main` prints what, because, hint and code, and exits with the error's exit
code. The exception is a command that works on several shares: it reports the error of one and
continues with the next. `run` and `exec` do not return: the process becomes the user's program.
"""

import errno
import os
import sys
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

import click

from gpushare import __version__
from gpushare.cli._format.output import JSON
from gpushare.model.errors import OutputError

from ._errors import FAILED, report
from ._everywhere import complete_file, shared_options
from ._group import VerbGroup

__all__ = ["command", "main"]
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
COMPLETING = "_GPUSHARE_COMPLETE"  # set by the shell's completion script


@click.command(
    "gpushare",
    cls=VerbGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--socket",
    metavar="PATH",
    shell_complete=complete_file,
    help="Connect to the daemon at this socket.",
)
@click.option("--context", "context", metavar="NAME", help="Connect to the daemon of this context.")
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def command(ctx: click.Context, /, *, version: bool, **_: str | None) -> None:
    """Give programs shares of GPUs, with memory and compute limits.

    \b
    gpushare run -m 8GiB -c 50 -- python train.py
    gpushare ps
    gpushare verify train-1
    gpushare simulate h200-1 -- gpushare gpus      # no GPU needed
    """
    if version:
        click.echo(f"gpushare {__version__}")
    elif ctx.invoked_subcommand is None:
        from .status import status  # noqa: PLC0415 (start-up time)

        status()


shared_options(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its exit code."""
    _fill_closed_streams()
    meta: dict[str, Any] = {}
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if COMPLETING in os.environ:
            from ._completion import use  # noqa: PLC0415 (start-up time)

            use()
            command.main(prog_name="gpushare", complete_var=COMPLETING)
        # Not `command.main`: it would print errors itself, and choose other exit codes.
        with command.make_context("gpushare", argv) as context:
            meta = context.meta
            command.invoke(context)
        # Flushed here, so that a closed pipe is noticed inside the `try`.
        sys.stdout.flush()
    except BrokenPipeError:
        _end_quietly()
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (errors are printed here only)
        as_json = meta.get(JSON, _asks_for_json(argv))
        named = _output_error(error) or error
        sys.exit(report(named, as_json=as_json, failed=meta.get(FAILED, 1)))


def _output_error(error: BaseException) -> OutputError | None:
    """None: the error is another. That of a stream names no file."""
    if not isinstance(error, OSError) or error.errno not in _UNWRITABLE or error.filename:
        return None
    # What is left in the buffer would fail again when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OutputError("the output cannot be written", str(error.strerror), "free space: df -h")


def _fill_closed_streams() -> None:
    """Open /dev/null for each closed standard stream, so that no other file gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _asks_for_json(argv: Sequence[str]) -> bool:
    """Whether arguments that click could not parse ask for JSON."""
    own = list(takewhile(lambda word: word != "--", argv))
    return "--json" in own or any(
        option in {"-o", "--output"} and value.startswith("json") for option, value in pairwise(own)
    )


def _end_quietly() -> None:
    """Exit without a message when the reader of stdout is gone, as in `gpushare ps | head -1`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)  # 128 + SIGPIPE
