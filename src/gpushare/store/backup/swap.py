# SPDX-License-Identifier: Apache-2.0
"""Puts a restored state in the place of the earlier one; survives a kill at every step.

    state.db.new       the restored state, complete and synced
    restore.pending    the note; the restore takes place from here on, after a kill too
    before-restore-*/  state.db, -wal, -shm and state.mark of before, moved one by one
    state.db           by a rename of state.db.new
    restore.done       the note, renamed; the next daemon reports it and removes it

Invariants:
- While state.db.new is there, what has the name state.db belongs to the earlier state.
- Without restore.pending nothing has happened: state.db.new is deleted by the next restore.
- `finish` may be repeated. A daemon calls it before it opens the state.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gpushare.model.errors import StateCorruptError
from gpushare.model.state.backup import RestoreNote

NEW = "state.db.new"
_PENDING, _DONE = "restore.pending", "restore.done"
# The log first: a state.db without its log is the older state, which a daemon would notice.
_EARLIER = ("state.db-wal", "state.db-shm", "state.mark", "state.db")
Step = Callable[[str], None]


def begin(folder: Path, note: RestoreNote, step: Step) -> None:
    """Decide that state.db.new takes the place of state.db."""
    _write(folder / f"{_PENDING}.part", msgspec.json.encode(note))
    step("noted")
    (folder / f"{_PENDING}.part").rename(folder / _PENDING)
    sync(folder)
    step("decided")


def finish(folder: Path, step: Step = lambda _: None) -> None:
    """Finish a restore that has begun; nothing otherwise. Raises StateCorruptError, OSError."""
    pending = folder / _PENDING
    if not pending.exists():
        return
    note = _read(pending)
    if (folder / NEW).exists():
        _move_aside(folder, folder / Path(note.aside).name, step)
        (folder / NEW).rename(folder / "state.db")
        sync(folder)
        step("replaced")
    pending.rename(folder / _DONE)
    sync(folder)
    step("done")


def noted(folder: Path) -> RestoreNote | None:
    """The restore that no daemon has reported yet."""
    done = folder / _DONE
    return _read(done) if done.exists() else None


def forget(folder: Path) -> None:
    """It is reported."""
    (folder / _DONE).unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """A new file with this content, synced; mode 0600."""
    path.unlink(missing_ok=True)
    _write(path, content)


def sync(folder: Path) -> None:
    """Make renames in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_aside(folder: Path, aside: Path, step: Step) -> None:
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in _EARLIER:
        with suppress(FileNotFoundError):
            (folder / name).rename(aside / name)
        step(f"aside {name}")
    sync(aside)
    sync(folder)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> RestoreNote:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RestoreNote)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StateCorruptError(
            f"{path} is damaged", str(error), "restore the backup again: gpushare restore FILE"
        ) from error
