# SPDX-License-Identifier: Apache-2.0
"""Copies the state file while a daemon writes it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gpushare.model.errors import StateCorruptError, StateError

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"


def copied(path: Path) -> tuple[bytes, dict[str, int], int]:
    """The state at one moment, with its rows by table and its schema; called in a thread.

    SQLite's backup reads one snapshot, write-ahead log included, on a connection of its own; the
    daemon's connection writes on. Raises StateError, StateCorruptError.
    """
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(":memory:")) as copy,
        ):
            # Without a number of pages everything is copied in one step, and so of one moment.
            source.backup(copy)
            verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                raise StateCorruptError(f"{path} is damaged", verdict.splitlines()[0])
            schema = copy.execute("PRAGMA user_version").fetchone()[0]
            return copy.serialize(), _counts(copy), schema
    except sqlite3.Error as error:
        raise StateError(f"cannot copy {path}", str(error), f"ls -l {path.parent}") from error


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = sorted(row[0] for row in connection.execute(_TABLES))
    return {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 (a name of the schema)
        for table in tables
    }
