# SPDX-License-Identifier: Apache-2.0
"""Runs a program in a share: find it, enter the share, exec. No gpushare process remains."""

import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import click

from gpushare.cli._format.output import note
from gpushare.cli._format.shares import wait_reason
from gpushare.config.printable import printable
from gpushare.model.errors import ProgramNotExecutableError, ProgramNotFoundError
from gpushare.model.share import Level
from gpushare.model.spec import MechanismName, ShareSpec
from gpushare.model.units import FULL
from gpushare.model.view import Entry, ShareView


def find_program(name: str) -> str:
    """The path to execute. Raises ProgramNotFoundError, ProgramNotExecutableError."""
    if path := shutil.which(name):
        return path
    missing = partial(ProgramNotFoundError, f"no program {name!r}", hint="check the spelling")
    if os.sep not in name:
        raise missing("it is not on PATH")
    try:
        mode = Path(name).stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing("there is no such file") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProgramNotExecutableError(f"cannot execute {name}", reason) from error
    if stat.S_ISDIR(mode):
        raise ProgramNotExecutableError(f"cannot execute {name}", "it is a folder")
    raise ProgramNotExecutableError(
        f"cannot execute {name}", "permission denied", f"chmod +x {name}"
    )


def exec_program(path: str, argv: Sequence[str], entry: Entry, *, near: bool = True) -> None:
    """Exec the program in the share's environment; returns only by raising an error.

    `near`: bind it to the CPUs closest to its GPUs.
    """
    from gpushare.session.acquire import environment_of  # noqa: PLC0415 (start-up time)
    from gpushare.session.program_file import unguarded  # noqa: PLC0415 (start-up time)

    if "LD_PRELOAD" in entry.env and (why := unguarded(path)):
        click.echo(
            f"gpushare: the guard cannot limit {argv[0]}: {why}; what it uses is only reported",
            err=True,
        )

    if near and entry.cpus:
        from gpushare.session.cpu_affinity import bind_to_nearest  # noqa: PLC0415 (start-up time)

        bind_to_nearest(entry)
    # exec discards what Python has buffered.
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these two signals, and a program inherits that through exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, list(argv), environment_of(entry, dict(os.environ)))  # noqa: S606
    except FileNotFoundError as error:
        raise ProgramNotFoundError(f"cannot start {path}", "its interpreter is missing") from error
    except OSError as error:
        raise ProgramNotExecutableError(f"cannot execute {path}", str(error.strerror)) from error


class QueueProgress:
    """Prints on stderr what a queued share waits for: one line on a terminal, else one a change.

    `begun` is called once, before the first line.
    """

    def __init__(self, begun: Callable[[], None] = lambda: None) -> None:
        self._begun: Callable[[], None] | None = begun
        self._last = ""
        self._inline = sys.stderr.isatty()

    def begin(self) -> None:
        """The share was accepted."""
        begun, self._begun = self._begun, None
        if begun:
            begun()

    def __call__(self, share: ShareView) -> None:
        self.begin()
        position = share.queue.position if share.queue else 1
        text = f"gpushare: {share.name} is queued #{position}, {wait_reason(share)}".rstrip(", ")
        text = printable(text)
        if text != self._last:
            click.echo(f"\r\x1b[K{text}" if self._inline else text, err=True, nl=not self._inline)
        self._last = text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def done(self) -> None:
        """Clear the line on a terminal; other outputs keep their lines."""
        if self._last and self._inline:
            click.echo("\r\x1b[K", err=True, nl=False)
        self._last = ""


def say_whole_gpu(spec: ShareSpec) -> None:
    """Say on stderr that a share without a memory limit leaves no room."""
    if spec.memory.limit is not None or spec.memory.share is not None:
        return
    what = "a whole GPU" if spec.gpus == 1 else f"{spec.gpus} whole GPUs"
    turn = " during its turn" if spec.turns else ""
    note(f"without -m the share takes {what}{turn}; to leave room for others: -m 8GiB")


def warn_unenforced(share: ShareView) -> None:
    """Warn on stderr when nothing enforces the compute limit. An exclusive GPU needs no limit."""
    limit, alone = share.compute.limit, MechanismName.EXCLUSIVE in share.mechanism
    if share.enforcement.compute is Level.NONE and limit and limit < FULL and not alone:
        why = "; ".join(share.why[:1])
        note(f"no mechanism enforces the compute limit of {limit} %: {why}")
