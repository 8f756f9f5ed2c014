# SPDX-License-Identifier: Apache-2.0
"""Shares. The only place where a share's state changes.

Living shares are kept in memory too, because every request and every pass reads them. Values are
frozen, so a reader's list stays as it was.
"""

import sqlite3
from datetime import datetime
from typing import Any

import msgspec

from gpushare.model.errors import ConflictError, NoSuchShareError
from gpushare.model.ids import ShareId
from gpushare.model.share import Proof, Share, State
from gpushare.model.state.program_end import RecordBounds

from .bodies import Body
from .database import Database
from .mirror import Mirror

_TRANSITIONS = {
    State.QUEUED: {State.GRANTED, State.DAMAGED},
    State.GRANTED: {State.RUNNING, State.SUSPENDED, State.DAMAGED},
    # Granted again: a held share without programs.
    State.RUNNING: {State.GRANTED, State.SUSPENDED, State.DAMAGED},
    State.SUSPENDED: {State.RUNNING, State.GRANTED, State.DAMAGED},
    # As before the act that could not be settled.
    State.DAMAGED: {State.QUEUED, State.GRANTED, State.RUNNING, State.SUSPENDED},
}
_ENDS = {State.RELEASED, State.FAILED}
_LIVING = "state NOT IN ('released', 'failed')"

_BODY = Body(Share)
_decode, _encode = _BODY.decode, _BODY.encode


class Shares:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._living: Mirror[ShareId, Share] = Mirror(database, self._read_living)

    @property
    def generation(self) -> int:
        """Grows with each change of a living share, except those of `note`."""
        return self._living.generation

    def add(self, share: Share) -> Share:
        """Raises ConflictError when a living share of the same user has the name."""
        try:
            with self._db.transaction():
                self._db.execute(
                    "INSERT INTO shares (id, uid, name, state, body) VALUES (?, ?, ?, ?, ?)",
                    *(share.id, share.uid, share.name, share.state, _encode(share)),
                )
                self._db.stamp("shares", "id = ?", share.id)
        # The index `one_living_name` refuses it, so no second look-up is needed before.
        except sqlite3.IntegrityError:
            raise ConflictError(
                f"you have a share named {share.name!r}",
                "the names of a user's living shares are unique",
                f"see it: gpushare show {share.name}",
            ) from None
        return self._kept(share)

    def get(self, share: ShareId) -> Share:
        """Raises NoSuchShareError."""
        if (living := self._living.rows.get(share)) is not None:
            return living
        matches = self._select("id = ?", share)
        if not matches:
            raise NoSuchShareError(f"no share {share}", hint="gpushare ps -a")
        return matches[0]

    def update(self, share: ShareId, **changes: Any) -> Share:
        """Change anything but the state."""
        assert "state" not in changes
        return self._put(msgspec.structs.replace(self.get(share), **changes))

    def note(self, share: ShareId, proof: Proof) -> Share:
        """Change what decides nothing. Shares are proved all the time, so it does not count."""
        return self._put(msgspec.structs.replace(self.get(share), proof=proof), counts=False)

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
        return list(self._living.rows.values())

    def all(self) -> list[Share]:
        """With those that have ended and are kept, in order of arrival."""
        return self._select("TRUE")

    def named(self, uid: int, name: str) -> Share | None:
        """The share of a user by its name: the living one, else the newest that has ended."""
        living = self._living.rows.values()
        if own := [share for share in living if share.uid == uid and share.name == name]:
            return own[0]
        shares = self._select(f"uid = ? AND name = ? ORDER BY {_LIVING} DESC, seq DESC", uid, name)
        return shares[0] if shares else None

    def beginning(self, digits: str) -> list[Share]:
        """Shares whose ids begin with these digits."""
        if (share := self._living.rows.get(ShareId(digits))) is not None:
            return [share]
        # Not LIKE, where % and _ in what the user typed would match anything.
        return self._select("substr(id, 1, length(?1)) = ?1", digits)

    def owners(self) -> set[int]:
        """The uids of all users who have shares that are kept."""
        return {row[0] for row in self._db.rows("SELECT DISTINCT uid FROM shares")}

    def of(self, uid: int) -> set[ShareId]:
        """Ids of all shares of the user that are kept."""
        rows = self._db.rows("SELECT id FROM shares WHERE uid = ?", uid)
        return {ShareId(row[0]) for row in rows}

    def names(self, uid: int) -> set[str]:
        """Names taken by living shares of the user."""
        return {share.name for share in self._living.rows.values() if share.uid == uid}

    def forget(self, share: ShareId) -> None:
        """Forget a share that has ended, with its output."""
        self._db.execute(f"DELETE FROM shares WHERE id = ? AND NOT ({_LIVING})", share)  # noqa: S608

    def forget_old(self, bounds: RecordBounds, now: datetime) -> None:
        """Forget ended shares that are beyond a bound, and those that are not to be remembered."""
        self._db.execute(
            "DELETE FROM shares WHERE seq IN (SELECT seq FROM (SELECT seq, ended, "  # noqa: S608
            "row_number() OVER (ORDER BY seq DESC) AS place, "
            "row_number() OVER (PARTITION BY uid ORDER BY seq DESC) AS user_place "
            f"FROM shares WHERE NOT ({_LIVING})) "
            "WHERE place > ? OR user_place > ? OR ended < ? OR ended <= 0)",
            *(bounds.shares, bounds.user_shares, bounds.oldest(now)),
        )

    def _put(self, share: Share, *, counts: bool = True) -> Share:
        with self._db.transaction():
            self._db.execute(
                "UPDATE shares SET name = ?, state = ?, ended = ?, body = ? WHERE id = ?",
                *(share.name, share.state, _ended(share), _encode(share), share.id),
            )
            self._db.stamp("shares", "id = ?", share.id)
        return self._kept(share, counts=counts)

    def _kept(self, share: Share, *, counts: bool = True) -> Share:
        if share.state.ended:
            self._living.remove(share.id)
        else:
            self._living.put(share.id, share, counts=counts)
        return share

    def _read_living(self) -> dict[ShareId, Share]:
        return {share.id: share for share in self._select(_LIVING)}

    def _select(self, where: str, *arguments: str | int) -> list[Share]:
        order = "" if "ORDER BY" in where else " ORDER BY seq"
        sql = f"SELECT body FROM shares WHERE {where}{order}"  # noqa: S608
        return [_decode(row[0]) for row in self._db.rows(sql, *arguments)]


def _ended(share: Share) -> float | None:
    """The column `ended`."""
    if not share.state.ended or share.ended is None:
        return None
    return 0.0 if share.forget else share.ended.timestamp()


def _ends(share: Share) -> set[State]:
    return set() if share.state.ended else _ENDS
