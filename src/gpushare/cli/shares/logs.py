# SPDX-License-Identifier: Apache-2.0
"""`gpushare logs`: the output of programs in the background."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from gpushare.cli._connect import client, require_local
from gpushare.cli._options import share_argument
from gpushare.cli._strict import Number
from gpushare.model.errors import DaemonUnreachableError, NoLogError, NoSuchShareError

if TYPE_CHECKING:
    from gpushare.client import Client
    from gpushare.model.view import ShareView

_LOOK_SECONDS = 0.2


@click.command()
@share_argument
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the share ends.")
@click.option("-n", "--tail", metavar="N", type=Number(0), help="Show the last N lines.")
def logs(share: str, *, follow: bool, tail: int | None) -> None:
    """Print the output of the program in SHARE, stdout and stderr together.

    \b
    gpushare run -d --name train -m 8GiB -- python train.py
    gpushare logs -f train
    """
    daemon = client()
    require_local(daemon, "cannot read logs")
    view = daemon.show(share)
    with _opened(view) as log:
        _print_end(log, tail)
        if follow:
            for text in _growth(log, lambda: _ended(daemon, view)):
                _print(text)


def _opened(share: "ShareView") -> BinaryIO:
    if share.log is None:
        raise NoLogError(
            f"share {share.name} has no log",
            "its program was not started in the background",
            "start programs in the background: gpushare run --detach",
        )
    try:
        return open(share.log, "rb")  # noqa: PTH123 (closed by the caller)
    except OSError as error:
        raise NoLogError(f"cannot read {share.log}", error.strerror or str(error)) from error


def _print_end(log: BinaryIO, lines: int | None) -> None:
    if lines is None:
        while text := log.read(1 << 16):
            _print(text)
    else:
        _print(b"".join(deque(log, lines)))


def _growth(log: BinaryIO, ended: Callable[[], bool]) -> Iterator[bytes]:
    """New output until the share has ended, then the remaining output."""
    last = False
    while True:
        if text := log.read():
            yield text
        # Read once after the end was noticed: the program may have written in between.
        elif last:
            return
        else:
            last = ended()
            time.sleep(0 if last else _LOOK_SECONDS)


def _ended(daemon: "Client", share: "ShareView") -> bool:
    """Whether the share has ended; a restart of the daemon does not end it."""
    try:
        return daemon.show(share.id).state.ended
    except NoSuchShareError:
        return True
    except DaemonUnreachableError:
        return False


def _print(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
