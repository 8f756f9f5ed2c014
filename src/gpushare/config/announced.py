# SPDX-License-Identifier: Apache-2.0
"""Where the daemon of a state directory listens.

The socket of a user's daemon is in XDG_RUNTIME_DIR, which logins over ssh, su, sudo or cron may not
have, or have another one. The state directory is the same for all of them, so the daemon writes
there where it listens: the second line of `daemon.lock`, after its pid.
"""

import fcntl
import os
import socket as sockets
import stat
from pathlib import Path

from gpushare.model.units import is_number

LOCK = "daemon.lock"
_LONGEST = 4096  # bytes: a pid and a path
_CONNECT_SECONDS = 5.0


def announcement(pid: int, socket: Path | None = None) -> bytes:
    """What the daemon writes; without a socket while it does not listen yet."""
    return f"{pid}\n".encode() + (os.fsencode(socket) + b"\n" if socket else b"")


def read(text: bytes) -> tuple[str, Path | None]:
    """The pid as text, and the socket if it is known."""
    pid, _, rest = text[:_LONGEST].partition(b"\n")
    path = rest.partition(b"\n")[0]
    return pid.decode(errors="replace").strip(), Path(os.fsdecode(path)) if path else None


def holder_of(state_dir: Path) -> int | None:
    """The pid of the daemon that holds the directory, whether it answers or not; None: none does.

    The daemon's lock tells, not the text: a pid that was left behind may be another process'.
    """
    try:
        with (state_dir / LOCK).open("rb") as file:
            pid = read(file.read(_LONGEST))[0]
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(pid) if is_number(pid) else None
    except OSError:
        return None
    return None


def socket_of(state_dir: Path) -> Path | None:
    """The socket of the directory's daemon; None if there is none, or another user's is there."""
    try:
        with (state_dir / LOCK).open("rb") as file:
            socket = read(file.read(_LONGEST))[1]
        status = socket.lstat() if socket and socket.is_absolute() else None
    except (OSError, ValueError):
        return None
    if status is None or not stat.S_ISSOCK(status.st_mode):
        return None
    return socket if status.st_uid in {0, os.geteuid()} else None


def listens(path: Path) -> bool:
    """Whether a process accepts connections there. Also true where this user may not ask."""
    try:
        _connect(path)
    except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def refuses(path: Path) -> bool:
    """Whether the socket there is that of a daemon that was killed."""
    try:
        _connect(path)
    except ConnectionRefusedError:
        return path.is_socket()
    except OSError:
        return False
    return False


def _connect(path: Path) -> None:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM | sockets.SOCK_CLOEXEC) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        probe.connect(os.fspath(path))
