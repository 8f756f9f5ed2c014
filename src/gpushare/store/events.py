# SPDX-License-Identifier: Apache-2.0
"""Events, in order and numbered."""

from collections.abc import Iterator
from datetime import datetime

from gpushare.model.event import Event
from gpushare.model.ids import GpuId, ShareId

from .bodies import Body
from .database import Database
from .integrity.commit_mark import CommitMark

KEPT = 10_000
_BODY = Body(Event)


class Events:
    def __init__(self, database: Database, mark: CommitMark) -> None:
        self._db, self._mark = database, mark

    def add(
        self,
        at: datetime,
        type: str,  # noqa: A002 (the wire's word)
        message: str,
        *,
        share: ShareId | None = None,
        gpu: GpuId | None = None,
    ) -> Event:
        """Store an event under the next number; the oldest beyond 10 000 are forgotten."""
        with self._db.transaction():
            # The row comes first because SQLite gives the number that the event contains.
            seq = self._db.execute("INSERT INTO events (body) VALUES (x'')")
            event = Event(seq=seq, at=at, type=type, message=message, share=share, gpu=gpu)
            self._db.execute("UPDATE events SET body = ? WHERE seq = ?", _BODY.encode(event), seq)
            self._db.execute("DELETE FROM events WHERE seq <= ?", seq - KEPT)
            self._db.after_commit(lambda: self._mark.put(seq))
        return event

    def since(self, seq: int, most: int = KEPT) -> Iterator[Event]:
        """Events after the number `seq`, oldest first; those that are forgotten are missing.

        `most`: at most so many.
        """
        sql = "SELECT body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = self._db.rows(sql, seq, most)
        return (_BODY.decode(row[0]) for row in rows)

    def oldest(self) -> int:
        """The number of the oldest event that is kept; 0 if there is none."""
        return int(self._db.rows("SELECT coalesce(min(seq), 0) FROM events")[0][0])

    def last(self) -> int:
        """The number of the newest event; 0 if there is none."""
        return int(self._db.rows("SELECT coalesce(max(seq), 0) FROM events")[0][0])


def last_number(database: Database) -> int:
    """Of all events that ever were: events are forgotten, their numbers are not used again."""
    sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    return int(database.rows(sql)[0][0])


def raise_number(database: Database, least: int) -> None:
    """Let the next event have a number beyond this one."""
    if least > last_number(database):
        with database.transaction():
            database.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
            database.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", least)
