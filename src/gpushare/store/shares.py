# SPDX-License-Identifier: Apache-2.0
"""Shares. The only place where a share's state changes."""

import sqlite3
from functools import lru_cache
from typing import Any

import msgspec

from gpushare.model.errors import ConflictError, NoSuchShareError
from gpushare.model.ids import ShareId
from gpushare.model.share import Share, State

from .database import Database

_TRANSITIONS = {
    State.QUEUED: {State.GRANTED},
    State.GRANTED: {State.RUNNING, State.SUSPENDED},
    State.RUNNING: {
        State.GRANTED,
        State.SUSPENDED,
    },  # granted again: a held share without programs
    State.SUSPENDED: {State.RUNNING, State.GRANTED},
}
_ENDS = {State.RELEASED, State.FAILED}
_LIVING = "state NOT IN ('released', 'failed')"
_KEPT = 1000  # ended shares remembered for `ps -a`

# Each pass reads every living share, and most are unchanged. Values are frozen, so they are shared.
_decode = lru_cache(maxsize=512)(msgspec.json.Decoder(Share).decode)
_encode = msgspec.json.encode


class Shares:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, share: Share) -> Share:
        """Raises ConflictError when a living share has the name."""
        try:
            self._db.execute(
                "INSERT INTO shares (id, name, state, body) VALUES (?, ?, ?, ?)",
                share.id,
                share.name,
                share.state,
                _encode(share),
            )
        # The index `one_living_name` refuses it, so no second look-up is needed before.
        except sqlite3.IntegrityError:
            raise ConflictError(
                f"there is a share named {share.name!r}",
                "the names of living shares are unique",
                f"see it: gpushare show {share.name}",
            ) from None
        return share

    def get(self, share: ShareId) -> Share:
        """Raises NoSuchShareError."""
        matches = self._select("id = ?", share)
        if not matches:
            raise NoSuchShareError(f"no share {share}", hint="gpushare ps -a")
        return matches[0]

    def update(self, share: ShareId, **changes: Any) -> Share:
        """Change anything but the state."""
        assert "state" not in changes
        return self._put(msgspec.structs.replace(self.get(share), **changes))

    def move(self, share: ShareId, to: State, **changes: Any) -> Share:
        """Change the state; raises ConflictError if that transition does not exist."""
        before = self.get(share)
        if to is not before.state and to not in _TRANSITIONS.get(before.state, set()) | _ends(
            before
        ):
            raise ConflictError(
                f"share {before.name} is {before.state}", f"it cannot become {to}", "gpushare ps -a"
            )
        return self._put(msgspec.structs.replace(before, state=to, **changes))

    def living(self) -> list[Share]:
        """Every share that has not ended, in order of arrival."""
        return self._select(_LIVING)

    def all(self) -> list[Share]:
        """With those that have ended and are kept, in order of arrival."""
        return self._select("TRUE")

    def find(self, ref: str) -> Share:
        """By id, name or id prefix; a living share before one that has ended.

        Raises NoSuchShareError; ConflictError when a prefix fits several.
        """
        exact = self._select(f"(id = ?1 OR name = ?1) ORDER BY {_LIVING} DESC, seq DESC", ref)
        if exact:
            return exact[0]
        # Not LIKE, where % and _ in what the user typed would match anything.
        matches = self._select("substr(id, 1, length(?1)) = ?1", ref) if len(ref) >= 2 else []
        if len(matches) > 1:
            names = ", ".join(share.id for share in matches)
            raise ConflictError(f"{ref!r} fits several shares", names, "give more of the id")
        if not matches:
            raise NoSuchShareError(
                f"no share {ref!r}", "no id or name matches", "list them: gpushare ps -a"
            )
        return matches[0]

    def of(self, uid: int) -> set[ShareId]:
        """Ids of all shares of the user that are kept."""
        return {share.id for share in self.all() if share.uid == uid}

    def names(self) -> set[str]:
        """Names taken by living shares."""
        return {row[0] for row in self._db.rows(f"SELECT name FROM shares WHERE {_LIVING}")}  # noqa: S608

    def forget_old(self) -> None:
        """Forget ended shares; the newest 1000 shares stay."""
        self._db.execute(
            f"DELETE FROM shares WHERE NOT ({_LIVING}) AND seq <= "  # noqa: S608
            f"(SELECT max(seq) FROM shares) - {_KEPT}"
        )

    def _put(self, share: Share) -> Share:
        self._db.execute(
            "UPDATE shares SET name = ?, state = ?, body = ? WHERE id = ?",
            share.name,
            share.state,
            _encode(share),
            share.id,
        )
        return share

    def _select(self, where: str, *arguments: str) -> list[Share]:
        order = "" if "ORDER BY" in where else " ORDER BY seq"
        sql = f"SELECT body FROM shares WHERE {where}{order}"  # noqa: S608
        return [_decode(row[0]) for row in self._db.rows(sql, *arguments)]


def _ends(share: Share) -> set[State]:
    return set() if share.state.ended else _ENDS
