# SPDX-License-Identifier: Apache-2.0
"""Prints errors and chooses exit codes."""

import os
import sys
import traceback

import click
import msgspec

from gpushare.config.printable import printable
from gpushare.model.errors import GpushareError, UsageError

from ._format import colours
from ._format.times import with_local_times

INTERRUPTED = 130  # 128 + SIGINT, as in shells
FAILED_BEFORE = 125  # as in docker: gpushare failed before it could run the program
_LONGEST = 8000  # characters of one part of an error
FAILED = "gpushare.failed"  # key for a command's own exit code where an error has none but 1


def report(error: BaseException, *, as_json: bool = False, failed: int = 1) -> int:
    """Print the error on stderr and return the exit code. GPUSHARE_DEBUG=1 adds the traceback."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    # Without a message: the user knows what they have pressed.
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return INTERRUPTED
    if os.environ.get("GPUSHARE_DEBUG") == "1":
        traceback.print_exception(error)
    known_error = _as_gpushare_error(error)
    if as_json:
        click.echo(_json(known_error), err=True)
    else:
        colours.echo(_format_error(known_error), err=True)
    # `run` reports its own failures as 125, so that they differ from those of the program.
    return failed if known_error.exit_code == 1 else known_error.exit_code


def _as_gpushare_error(error: BaseException) -> GpushareError:
    if isinstance(error, GpushareError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "gpushare"
        return UsageError(error.format_message(), hint=f"{path} --help")
    return GpushareError(
        "gpushare failed", f"{type(error).__name__}: {error}", "for a traceback: GPUSHARE_DEBUG=1"
    )


def _format_error(error: GpushareError) -> str:
    head = click.style("error:", fg="red", bold=True) if colours.shown(sys.stderr) else "error:"
    # Line ends stay: the end of a daemon's log is quoted in an error.
    what, because, hint = (
        with_local_times(printable(text, lines=True, longest=_LONGEST))
        for text in (error.what, error.because, error.hint)
    )
    lines = [f"{head} {what}"]
    lines += [f"because: {because}"] if because else []
    lines += [f"hint: {hint}"] if hint else []
    return "\n".join([*lines, f"code: {error.code}"])


def _json(error: GpushareError) -> bytes:
    return msgspec.json.encode({"apiVersion": "v1", "error": error.body()})
