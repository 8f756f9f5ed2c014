# SPDX-License-Identifier: Apache-2.0
"""The state file: one SQLite file, one connection, one writer.

The daemon is the only process that writes the file (`StateLock`); its event loop uses one
connection. Repositories (`Shares`, `Events`, …) hold the SQL of one noun each and share it.

The schema is the list of files in `schema/`, applied in order. `PRAGMA user_version` counts those
applied. Each is applied in one transaction together with its number, so an upgrade that is
interrupted is repeated. A file that a newer version has written is refused, never downgraded.

Invariants:
- A statement outside `transaction` is committed when it returns; inside, all or nothing. A nested
  transaction belongs to the outer one, so a repository may use its own within a caller's.
- What is committed survives the death of the process at any point (WAL). A power cut may lose the
  newest commits; no process of a share survives one either.
- What `after_commit` was given runs once the change is committed, and never for one that is not.
- SQLite's errors leave this module as errors of the state tree, except a violated constraint, which
  repositories turn into an error about their noun.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gpushare.model.errors import (
    StateCorruptError,
    StateError,
    StateFullError,
    StateVersionError,
)

from .integrity import sums

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY_MS = 5000  # for another program that reads or copies the file
_ORDERED = 6  # from this version on, a state has all steps up to its number
_TABLE = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_PRIMARY = 0xFF  # the low byte of an extended result code names its family (sqlite.org/rescode)

# NORMAL syncs at checkpoints only, which is enough in WAL mode: see the invariants above.
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")


class Database:
    """The state file. Raises StateCorruptError, StateVersionError, StateFullError, StateError.

    `full` is called when a write fails for want of space, before the error is raised, and
    `checkpointed` when all that is committed is synced.
    """

    def __init__(self, path: Path, full: Callable[[], None] = lambda: None) -> None:
        self.path, self._full = path, full
        self.checkpointed: Callable[[], None] = lambda: None
        self._behind = False
        self.rollbacks = 0  # what was read inside a transaction may be wrong after one
        self._after: list[Callable[[], None]] = []
        with self._translated():
            # `isolation_level=None` keeps Python's sqlite3 from opening transactions by itself:
            # `transaction` is the only place that begins one.
            self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            with self._translated():
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        # At start, where it can be reported plainly, instead of at the first damaged page that a
        # pass meets.
        verdict = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise _corrupt(self.path, verdict)
        sums.register(self._connection)
        self._migrate()
        if _objects(self._connection) != _expected():
            raise _corrupt(self.path, "its tables are not those of its version")
        for table in sums.SUMMED:
            self._connection.execute(sums.stamp(table, "sum IS NULL"))

    def _migrate(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        steps = _schema()
        if version > len(steps):
            raise StateVersionError(
                f"{self.path} was written by a newer gpushare",
                f"its schema is {version}, this gpushare knows {len(steps)}",
                "install the newer gpushare again, or use another state directory",
            )
        for number, step in self._pending(version, steps):
            # `user_version` is part of the transaction, so step and number change together.
            try:
                self._connection.executescript(
                    f"BEGIN;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;"
                )
            except sqlite3.OperationalError as error:
                if "already exists" in str(error) or "no such" in str(error):
                    raise _corrupt(self.path, f"it is not of version {version}: {error}") from error
                raise

    def _pending(self, version: int, steps: list[str]) -> list[tuple[int, str]]:
        """The steps to apply, by number.

        The first ones were added in another order than that of their numbers. What a state from
        that time has shows in its tables.
        """
        numbered = list(enumerate(steps, 1))
        if version == 0 or version >= _ORDERED:
            return numbered[version:]
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master")}
        return [
            (number, step)
            for number, step in numbered[1:]
            if number > _ORDERED or not tables.intersection(_TABLE.findall(step))
        ]

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, *arguments: Any) -> Sequence[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(sql, arguments).fetchall()

    def execute(self, sql: str, *arguments: Any) -> int:
        """Run one statement; returns the row id of what it inserted."""
        with self._translated():
            return self._connection.execute(sql, arguments).lastrowid or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a transaction inside a transaction is part of the outer one."""
        if self._open_transaction():
            yield
            return
        with self._translated():
            # IMMEDIATE takes the write lock now: a statement inside cannot fail for want of it.
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._translated():
                self._connection.execute("COMMIT")
        except BaseException:
            self._after.clear()
            self.rollbacks += 1
            if self._open_transaction():
                self._connection.execute("ROLLBACK")
            raise
        after, self._after = self._after, []
        for call in after:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run `call` when the open transaction is committed; at once where none is open."""
        if self._open_transaction():
            self._after.append(call)
        else:
            call()

    def checkpoint(self) -> None:
        """Move what is committed from the write-ahead log into the file, and sync it.

        While a backup reads the log, this is left to `settle`: nothing waits for the backup.
        """
        self.rows("PRAGMA busy_timeout = 0")
        try:
            self._behind = bool(self.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0])
        finally:
            self.rows(f"PRAGMA busy_timeout = {_BUSY_MS}")
        if not self._behind:
            self.checkpointed()

    def settle(self, most: int) -> None:
        """Bound the write-ahead log: a checkpoint where it has more bytes, or one is overdue."""
        if self._behind or self._log_size() > most:
            self.checkpoint()

    def _log_size(self) -> int:
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0

    def stamp(self, table: str, where: str, *arguments: Any) -> None:
        """Write the checksums of rows that were changed; in the same transaction."""
        self.execute(sums.stamp(table, where), *arguments)

    def _open_transaction(self) -> bool:
        return self._connection.in_transaction

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            named = _named(self.path, error)
            if isinstance(named, StateFullError):
                self._full()
            raise named from error
        except UnicodeDecodeError as error:
            # SQLite's message, and text in the file, contain the damaged bytes.
            raise _corrupt(self.path, "a text in it is no text") from error


def _named(path: Path, error: sqlite3.Error) -> StateError:
    family = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if family in _DAMAGED:
        return _corrupt(path, str(error))
    if family == sqlite3.SQLITE_FULL:
        return StateFullError(
            f"cannot write {path}", "the disk is full", f"free space: df -h {path.parent}"
        )
    return StateError(f"cannot use {path}", str(error), f"check it: ls -l {path.parent}")


def _corrupt(path: Path, verdict: str) -> StateCorruptError:
    return StateCorruptError(
        f"{path} is damaged",
        verdict.splitlines()[0],
        f"end the programs that hold shares, then: mv {path} {path}.damaged && rm -f {path}-wal"
        f" {path}-shm; what can be read: sqlite3 {path}.damaged .recover",
    )


def _objects(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Tables and indexes with their definitions, but for comments, case and blanks."""
    sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"
    rows = connection.execute(f"{sql} WHERE name NOT LIKE 'sqlite!_stat%' ESCAPE '!'")
    return {(*map(str, names), _plain(str(text))) for *names, text in rows}


def _plain(sql: str) -> str:
    lines = (line.partition("--")[0] for line in sql.splitlines())
    return "".join("".join(lines).lower().split())


@cache
def _expected() -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in _schema():
            connection.executescript(step)
        return _objects(connection)


def newest_schema() -> int:
    """The schema that this version writes."""
    return len(_schema())


def _schema() -> list[str]:
    folder = files(__package__) / "schema"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(folder / name).read_text() for name in names]
