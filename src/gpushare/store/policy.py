# SPDX-License-Identifier: Apache-2.0
"""The policy of the machine, and its earlier revisions."""

from datetime import datetime

from gpushare.model.policy.tenant import Policy
from gpushare.model.policy.view import PolicyView

from .bodies import Body
from .database import Database

_KEPT = 1000
_BODY = Body(PolicyView)


class Policies:
    def __init__(self, database: Database) -> None:
        self._db = database
        newest = self.history(1)
        self._newest = newest[0] if newest else PolicyView()

    def current(self) -> Policy:
        """The policy in force: the newest, or one that allows everything."""
        return self._newest.policy

    def newest(self) -> PolicyView:
        """The same, with its author and time."""
        return self._newest

    def put(self, policy: Policy, by: str, at: datetime) -> PolicyView:
        new = PolicyView(policy=policy, revision=self._newest.revision + 1, by=by, at=at)
        with self._db.transaction():
            self._db.execute("INSERT INTO policies VALUES (?, ?)", new.revision, _BODY.encode(new))
            self._db.execute("DELETE FROM policies WHERE revision <= ?", new.revision - _KEPT)
            # Limits and tokens must be in a copy of state.db alone.
            self._db.after_commit(self._db.checkpoint)
        self._newest = new
        return new

    def history(self, most: int = _KEPT) -> list[PolicyView]:
        """Newest first."""
        rows = self._db.rows("SELECT body FROM policies ORDER BY revision DESC LIMIT ?", most)
        return [_BODY.decode(row[0]) for row in rows]
