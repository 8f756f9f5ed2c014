# SPDX-License-Identifier: Apache-2.0
"""The daemon's folders and its socket, made so that no other user can have put them there."""

import grp
import os
import socket
import stat
from pathlib import Path

from gpushare.model.errors import DaemonRunningError, DeniedError

GROUP = "gpushare"
_LONGEST = 107  # bytes of a unix socket's path (unix(7))


def private_folder(path: Path, mode: int = 0o700) -> Path:
    """Make the folder, or check that it is ours and no other user can write it."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        # lstat, not stat: a link in /tmp or /run that another user made must not pass for our
        # folder.
        status = path.lstat()
        if status.st_uid == os.geteuid() and stat.S_ISDIR(status.st_mode):
            # The daemon's umask takes bits from the mode of a new folder.
            path.chmod(stat.S_IMODE(status.st_mode) | mode)
    except OSError as error:
        raise DeniedError(f"cannot make {path}", str(error), "use --runtime-dir") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise DeniedError(
            f"{path} is not ours", f"it belongs to uid {status.st_uid}", "use --runtime-dir"
        )
    if status.st_mode & 0o022:
        raise DeniedError(f"{path} can be written by others", hint=f"chmod go-w {path}")
    return path


def runtime_folder(path: Path) -> Path:
    """As `private_folder`. Programs of root's users reach their regions and MPS pipes below it."""
    return private_folder(path, 0o711 if myself() == 0 else 0o700)


def listen(path: Path, *, shared: bool) -> socket.socket:
    """A listening socket; `shared`: every user may connect, because the kernel identifies callers.

    Raises DaemonRunningError if a daemon answers there already, DeniedError.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise DeniedError(f"{path} is too long for a socket", hint="use a shorter --socket")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(os.fspath(path))
        _open_to(path, shared=shared)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise DeniedError(f"cannot listen on {path}", str(error), "use --socket") from error
    return listener


def _clear(path: Path) -> None:
    """Remove the socket of a daemon that was killed, and nothing else."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        # The file is there and no process listens: its daemon was killed.
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DeniedError(f"cannot use {path}", str(error), "use --socket") from error
        else:
            raise DaemonRunningError(f"a daemon answers on {path}", hint="use another --socket")


def _open_to(path: Path, *, shared: bool) -> None:
    """Root serves all users, or the group `gpushare` if it exists; others serve themselves only."""
    if not shared:
        path.chmod(0o600)
        return
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        path.chmod(0o666)
        return
    os.chown(path, -1, group)
    path.chmod(0o660)


def myself() -> int:
    """The uid of the daemon."""
    return os.geteuid()
