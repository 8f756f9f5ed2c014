# SPDX-License-Identifier: Apache-2.0
"""Where each log ended when it was last synced, so that a missing end is noticed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gpushare.model.audit import Mark
from gpushare.store.database import Database
from gpushare.store.integrity.commit_mark import CommitMark

_SELECT = "SELECT seq, hash FROM audit WHERE path = ?"


class Marks:
    """`newest`: where the log ended at the last record, which is not synced."""

    def __init__(self, database: Database, newest: CommitMark | None = None) -> None:
        self._db, self._newest = database, newest

    def get(self, log: Path) -> Mark | None:
        """Where the log at this path ended; None: it is not known."""
        rows = self._db.rows(_SELECT, str(log))
        synced = Mark(seq=rows[0][0], hash=rows[0][1]) if rows else None
        known = self._newest.before if self._newest else None
        # After a power cut the log may lack what was not synced, which is no damage.
        if self._newest is None or known is None or known.boot != self._newest.boot:
            return synced
        if synced is not None and synced.seq >= known.number:
            return synced
        return Mark(seq=known.number, hash=known.hash)

    def appended(self, mark: Mark) -> None:
        """The record is written, but may not be on the disk."""
        if self._newest is not None:
            self._newest.put(mark.seq, mark.hash)

    def put(self, log: Path, mark: Mark) -> None:
        """Remember where the log ends; what it names must be on the disk."""
        with self._db.transaction():
            sql = "INSERT OR REPLACE INTO audit VALUES (?, ?, ?, NULL)"
            self._db.execute(sql, str(log), mark.seq, mark.hash)
            self._db.stamp("audit", "path = ?", str(log))

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
