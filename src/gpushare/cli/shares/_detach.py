# SPDX-License-Identifier: Apache-2.0
"""`--detach`: the child runs the program in the background, the parent waits until it starts."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gpushare.model.errors import ErrorBody, GpushareError, from_body
from gpushare.model.value import Value
from gpushare.model.view import ShareView


class StartupReport(Value):
    """What the child sends to the parent: its share, or an error."""

    share: ShareView | None = None
    error: ErrorBody | None = None


class StartupPipe:
    """The child's end of a pipe to the parent; exec closes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __call__(self, share: ShareView) -> None:
        self._send(StartupReport(share=share))

    def _send(self, report: StartupReport) -> None:
        if self._descriptor is not None:
            # At most once: the parent reads until the pipe is closed.
            os.write(self._descriptor, msgspec.json.encode(report))
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Send an error in the block to the parent."""
        try:
            yield
        except GpushareError as error:
            self._send(StartupReport(error=error.body()))
            raise


def fork_to_background(log: Path) -> StartupPipe | ShareView:
    """Fork. Returns a StartupPipe in the child, whose output goes to `log`.

    In the parent, returns the child's share, or raises the error that the child sent.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return _read_report(reader)
    os.close(reader)
    # A session of its own: the program survives the end of the terminal.
    os.setsid()
    _redirect(log)
    return StartupPipe(writer)


def _read_report(reader: int) -> ShareView:
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    report = msgspec.json.decode(text, type=StartupReport) if text else StartupReport()
    if report.share is not None:
        return report.share
    raise from_body(report.error or ErrorBody(GpushareError.code, "the background process died"))


def _redirect(log: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    silence = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for target, source in ((0, silence), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(output)
    os.close(silence)
