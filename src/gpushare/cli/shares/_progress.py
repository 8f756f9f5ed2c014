# SPDX-License-Identifier: Apache-2.0
"""Shows on stderr how far a suspend or resume is, while the daemon carries it out."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from gpushare.cli._format.output import note
from gpushare.config.printable import printable
from gpushare.model.errors import GpushareError
from gpushare.model.units import format_bytes
from gpushare.model.view import MoveView, ShareView

if TYPE_CHECKING:
    from gpushare.client import Client

_LOOK_SECONDS = 0.5
_WAYS = {"out": "moved off the GPU", "back": "moved back"}
_STEP = 10  # percent between two lines where stderr is no terminal


def with_progress(daemon: "Client", share: str, act: Callable[[], ShareView]) -> ShareView:
    """The result of `act`, a call to the daemon that moves the share."""
    results: list[ShareView | BaseException] = []
    # A thread that does not keep the process: at Ctrl-C the daemon goes on without the caller.
    thread = threading.Thread(target=_call, args=(act, results), daemon=True)
    thread.start()
    progress = Progress(share)
    thread.join(_LOOK_SECONDS)
    while thread.is_alive():
        # The call itself reports what is wrong.
        with suppress(GpushareError):
            progress(daemon.show(share).move)
        thread.join(_LOOK_SECONDS)
    progress.done()
    [result] = results
    if isinstance(result, BaseException):
        raise result
    return result


def warn_unready(share: ShareView) -> None:
    """Say before a suspend that host memory has to be made ready first."""
    able = share.suspendable
    if able and able.memory and able.unready:
        note(
            f"{share.name}: host memory for {format_bytes(able.unready)} of "
            f"{format_bytes(able.memory)} is not ready, so this takes longer; the setting "
            "swap_ahead has it ready"
        )


class Progress:
    """One line that changes on a terminal; else a line for each tenth."""

    def __init__(self, share: str) -> None:
        self._share, self._inline = share, sys.stderr.isatty()
        self._shown = -1

    def __call__(self, move: MoveView | None) -> None:
        if move is None or not move.total:
            return
        percent = 100 * move.moved // move.total
        if percent == self._shown or (not self._inline and percent < self._shown + _STEP):
            return
        self._shown = percent
        sizes = f"{format_bytes(move.moved)} of {format_bytes(move.total)}"
        text = printable(f"gpushare: {self._share}: {sizes} {_WAYS[move.way]} ({percent} %)")
        click.echo(f"\r\x1b[K{text}" if self._inline else text, err=True, nl=not self._inline)

    def done(self) -> None:
        """Clear the line on a terminal."""
        if self._inline and self._shown >= 0:
            click.echo("\r\x1b[K", err=True, nl=False)


def _call(act: Callable[[], ShareView], results: list[ShareView | BaseException]) -> None:
    try:
        results.append(act())
    except BaseException as error:  # noqa: BLE001 (raised again by the caller's thread)
        results.append(error)
