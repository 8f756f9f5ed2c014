# SPDX-License-Identifier: Apache-2.0
"""Where each log ended when it was last synced, so that a missing end is noticed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gpushare.model.audit import Mark
from gpushare.store.database import Database

_SELECT = "SELECT seq, hash FROM audit WHERE path = ?"


class Marks:
    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, log: Path) -> Mark | None:
        """Where the log at this path ended; None: it is not known."""
        rows = self._db.rows(_SELECT, str(log))
        return Mark(seq=rows[0][0], hash=rows[0][1]) if rows else None

    def put(self, log: Path, mark: Mark) -> None:
        """Remember where the log ends; what it names must be on the disk."""
        self._db.execute(
            "INSERT OR REPLACE INTO audit VALUES (?, ?, ?)", str(log), mark.seq, mark.hash
        )

    def others(self, log: Path) -> list[tuple[str, Mark]]:
        """Marks of logs at other paths, from before."""
        rows = self._db.rows("SELECT path, seq, hash FROM audit WHERE path != ?", str(log))
        return [(path, Mark(seq=seq, hash=hash_)) for path, seq, hash_ in rows]


def remembered(state_dir: Path, log: Path) -> Mark | None:
    """The mark without a daemon, read from its state file; None: unknown."""
    address = f"file:{state_dir / 'state.db'}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            row = connection.execute(_SELECT, (str(log),)).fetchone()
    # The file may be missing or of another version; the log can still be verified without its mark.
    except sqlite3.Error:
        return None
    return Mark(seq=row[0], hash=row[1]) if row else None
