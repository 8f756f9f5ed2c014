# SPDX-License-Identifier: Apache-2.0
"""The last output of detached programs that have ended; it goes with the record of its share."""

from gpushare.model.ids import ShareId
from gpushare.model.state.program_end import RecordBounds
from gpushare.store.database import Database


class Outputs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, share: ShareId, uid: int, text: str, bounds: RecordBounds) -> None:
        """Keep the end of `text`, and no more of all than the bounds allow."""
        if not (kept := text.encode()[-bounds.output :] if bounds.output else b""):
            return
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO outputs (share, uid, text) VALUES (?, ?, ?) "
                "ON CONFLICT (share) DO UPDATE SET text = excluded.text",
                *(share, uid, kept),
            )
            self._db.stamp("outputs", "share = ?", share)
            self._forget("uid = ?2", bounds.user_output, uid)
            self._forget("?2 IS ?2", bounds.outputs, uid)

    def get(self, share: ShareId) -> str | None:
        rows = self._db.rows("SELECT text FROM outputs WHERE share = ?", share)
        return rows[0][0].decode(errors="replace") if rows else None

    def _forget(self, which: str, most: int, uid: int) -> None:
        """The newest of them that are within the bound together stay."""
        self._db.execute(
            "DELETE FROM outputs WHERE seq IN (SELECT seq FROM (SELECT seq, "  # noqa: S608
            "sum(length(text)) OVER (ORDER BY seq DESC) AS total "
            f"FROM outputs WHERE {which}) WHERE total > ?1)",
            *(most, uid),
        )
