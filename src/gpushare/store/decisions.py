# SPDX-License-Identifier: Apache-2.0
"""What decisions were made from, so that they can be made again and compared."""

import zlib
from datetime import datetime

from gpushare.model.errors import NotFoundError
from gpushare.model.ids import ShareId

from .database import Database

_KEPT = 500  # the newest; a large machine's snapshot is some ten kilobytes when compressed


class Decisions:
    """Bodies are JSON of the caller; the store does not interpret them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, share: ShareId, at: datetime, body: bytes) -> None:
        """Replaces an earlier decision about the share."""
        with self._db.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO decisions (share, at, body) VALUES (?, ?, ?)",
                share,
                at.isoformat(),
                zlib.compress(body),
            )
            self._db.stamp("decisions", "share = ?", share)
            self._db.execute(
                "DELETE FROM decisions WHERE rowid NOT IN"
                " (SELECT rowid FROM decisions ORDER BY rowid DESC LIMIT ?)",
                _KEPT,
            )

    def get(self, share: ShareId) -> tuple[datetime, bytes]:
        """Raises NotFoundError for a decision that was never made or is no longer kept."""
        rows = self._db.rows("SELECT at, body FROM decisions WHERE share = ?", share)
        if not rows:
            raise NotFoundError(
                f"no decision about share {share} is kept",
                f"it has no place yet, or {_KEPT} decisions were made since",
                f"gpushare show {share}",
            )
        return datetime.fromisoformat(rows[0][0]), zlib.decompress(rows[0][1])
