# SPDX-License-Identifier: Apache-2.0
"""`gpushare logs`: the output of programs in the background."""

import os
import pwd
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from gpushare.cli._connect import client, require_local
from gpushare.cli._format.output import note
from gpushare.cli._format.shares import share_name
from gpushare.cli._options import share_argument
from gpushare.cli._reconnect import reconnect_option, reconnecting
from gpushare.cli._strict import Number
from gpushare.model.errors import (
    NoLogError,
    NoSuchShareError,
    NotYoursError,
)

if TYPE_CHECKING:
    from gpushare.client import Client
    from gpushare.client.reconnect import Reconnect
    from gpushare.model.view import ShareView

_LOOK_SECONDS = 0.2


@click.command()
@share_argument
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the share ends.")
@click.option("-n", "--tail", metavar="N", type=Number(0), help="Show the last N lines.")
@reconnect_option
def logs(share: str, *, follow: bool, tail: int | None, reconnect: float) -> None:
    """Print the output of the program in SHARE, stdout and stderr together.

    Also after the share has ended. Where its file is gone, the last lines that the daemon keeps.

    \b
    gpushare run -d --name train -m 8GiB -- python train.py
    gpushare logs -f train
    """
    daemon = client()
    view = daemon.show(share)
    if view.output is not None and _gone(daemon, view):
        note(
            f"the log of {share_name(view)} is not here; its last lines, as the daemon keeps them:"
        )
        _print_end(BytesIO(view.output.encode()), tail)
        return
    require_local(daemon, "cannot read logs")
    with _opened(view) as log:
        _print_end(log, tail)
        if follow:
            again = reconnecting(reconnect)
            for text in _growth(log, lambda: _ended(daemon, view, again)):
                _print(text)


def _gone(daemon: "Client", share: "ShareView") -> bool:
    """Whether its file was deleted, or is on another machine."""
    return not isinstance(daemon.where, Path) or not os.path.lexists(share.log or "")


def _opened(share: "ShareView") -> BinaryIO:
    """Only a regular file of the share's user: the user names the path, and root may open any.

    The file is looked at before it is opened, because opening a device or a pipe has an effect.
    """
    if not share.user:
        raise NotYoursError(
            f"share {share.id} is not yours", "it belongs to another user", "see yours: gpushare ps"
        )
    if share.log is None:
        raise NoLogError(
            f"share {share.name} has no log",
            "its program was not started in the background",
            "start programs in the background: gpushare run --detach",
        )
    try:
        place = os.open(share.log, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_log(share, os.fstat(place))
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.fdopen(os.open(f"/proc/self/fd/{place}", flags), "rb")
        finally:
            os.close(place)
    # ValueError: a zero byte in the path.
    except (OSError, ValueError) as error:
        because = getattr(error, "strerror", None) or str(error)
        raise NoLogError(f"cannot read {share.log}", because) from error


def _check_log(share: "ShareView", status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoLogError(f"{share.log} is no log", "it is not a regular file")
    if status.st_uid != _uid(share.user):
        raise NoLogError(
            f"{share.log} is no log of {share.user}", f"the file belongs to uid {status.st_uid}"
        )


def _uid(user: str) -> int | None:
    """A user without an account is named by the uid."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return int(user) if user.isascii() and user.isdecimal() else None


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


def _ended(daemon: "Client", share: "ShareView", reconnect: "Reconnect") -> bool:
    """Whether the share has ended; a restart of the daemon does not end it."""
    try:
        return reconnect.tried(lambda: daemon.show(share.id).state.ended, otherwise=False)
    except NoSuchShareError:
        return True


def _print(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
