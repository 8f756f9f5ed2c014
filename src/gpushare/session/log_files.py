# SPDX-License-Identifier: Apache-2.0
"""The files of detached programs' output, in the user's state directory.

A program's stdout holds a shared lock on its file for as long as it is open anywhere, so a file
that can be locked exclusively belongs to programs that have ended.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gpushare.config.settings import Settings
from gpushare.config.sources import state_home
from gpushare.model.errors import OutputError

_DAY = 86400.0
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def log_file(name: str, environment: Mapping[str, str]) -> Path:
    """The file for the output of a detached program. Raises OutputError."""
    folder = _folder(environment)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        # `su` and `sudo` may keep the HOME of another user.
        raise OutputError(
            "the program's output cannot be written",
            f"{folder}: {(error.strerror or str(error)).lower()}",
            "name a folder of yours: XDG_STATE_HOME",
        ) from error
    return folder / f"{name}-{os.getpid()}.log"


def opened(log: Path) -> int:
    """A descriptor of the file, locked for as long as it or a copy of it is open."""
    descriptor = os.open(log, _FLAGS, 0o600)
    # Some file systems have no locks; there the file only looks unused.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def delete_old(environment: Mapping[str, str], settings: Settings) -> None:
    """Delete the oldest files of ended programs that are beyond the bounds of the settings."""
    kept = size = 0
    oldest = time.time() - settings.ended_days * _DAY if settings.ended_days else 0.0
    for log, status in _newest_first(_folder(environment)):
        kept, size = kept + 1, size + status.st_size
        within = kept <= settings.ended_keep_user and size <= settings.log_keep
        if not within or status.st_mtime < oldest:
            delete(log, environment)


def delete(log: Path, environment: Mapping[str, str]) -> None:
    """Delete a file of this folder unless a program that runs may still write it."""
    if log.parent != _folder(environment):
        return
    with suppress(OSError):
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.unlink()
        finally:
            os.close(descriptor)


def _newest_first(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    found = [(log, log.lstat()) for log in folder.glob("*.log") if not log.is_symlink()]
    yield from sorted(found, key=lambda one: one[1].st_mtime, reverse=True)


def _folder(environment: Mapping[str, str]) -> Path:
    return state_home(environment) / "logs"
