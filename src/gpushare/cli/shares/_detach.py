# SPDX-License-Identifier: Apache-2.0
"""`--detach`: a grandchild runs the program in the background, the caller waits until it starts.

The child between them becomes the program's supervisor, which reports how it ended: only a parent
learns that in every case.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec

from gpushare.model.errors import ErrorBody, GpushareError, from_body
from gpushare.model.value import Value
from gpushare.model.view import ShareView
from gpushare.session import supervisor
from gpushare.session.log_files import opened


class StartupReport(Value):
    """What the child sends to the parent: its share, or an error."""

    share: ShareView | None = None
    error: ErrorBody | None = None


class StartupPipe:
    """The program's ends of pipes to the caller and to the supervisor; exec closes both."""

    def __init__(self, caller: int, supervisor: int) -> None:
        self._caller: int | None = caller
        self._supervisor = supervisor

    def __call__(self, share: ShareView) -> None:
        self._send(StartupReport(share=share))

    def _send(self, report: StartupReport) -> None:
        # At most once: the readers read until the pipes are closed.
        if self._caller is None:
            return
        os.write(self._caller, msgspec.json.encode(report))
        os.close(self._caller)
        self._caller = None
        if report.share is not None:
            os.write(self._supervisor, report.share.id.encode())

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Send an error in the block to the caller."""
        try:
            yield
        except GpushareError as error:
            self._send(StartupReport(error=error.body()))
            raise


def fork_to_background(log: Path, socket: Path, keep: str) -> StartupPipe | ShareView:
    """Fork twice. Returns a StartupPipe in the program to be, whose output goes to `log`.

    In the caller, returns the program's share, or raises the error that it sent. `socket`, `keep`:
    where the supervisor reports, and how much of the output (`session.report_end`).
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return _read_report(reader)
    os.close(reader)
    # Sessions of their own: the program survives the end of the terminal, and what it sends to its
    # own session does not reach the supervisor.
    os.setsid()
    shares, share = os.pipe()
    if program := os.fork():
        os.close(writer)
        os.close(share)
        _supervise(program, shares, [str(log), keep], socket)
    os.close(shares)
    os.setsid()
    _redirect(opened(log))
    return StartupPipe(writer, share)


def _supervise(program: int, shares: int, report: list[str], socket: Path) -> NoReturn:
    """Become the supervisor; without a share there is nothing to report."""
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    with os.fdopen(shares, "rb") as pipe:
        share = pipe.read().decode()
    if not share:
        os._exit(0)
    os.chdir("/")
    parent = [sys.executable, "-I", "-S", str(supervisor.__file__), str(program)]
    reporter = ["-m", "gpushare.session.report_end", str(socket), share, *report]
    os.execv(sys.executable, [*parent, *reporter])  # noqa: S606


def _read_report(reader: int) -> ShareView:
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    report = msgspec.json.decode(text, type=StartupReport) if text else StartupReport()
    if report.share is not None:
        return report.share
    raise from_body(report.error or ErrorBody(GpushareError.code, "the background process died"))


def _redirect(output: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    silence = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for target, source in ((0, silence), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(output)
    os.close(silence)
