# SPDX-License-Identifier: Apache-2.0
"""Tokens, and the hashes of their secrets."""

from datetime import datetime

import msgspec

from gpushare.model.access.token import Token, TokenId

from .bodies import Body
from .database import Database

_BODY = Body(Token)
_FAMILY = """
WITH RECURSIVE family(id) AS (
    VALUES (?) UNION SELECT tokens.id FROM tokens JOIN family ON tokens.parent = family.id
) SELECT id FROM family
"""


class StoredTokens:
    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, token: Token, digest: bytes) -> None:
        """Only the SHA-256 of the secret is kept: who reads the file cannot use the token."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
                token.id,
                digest,
                token.uid,
                token.parent,
                int(token.expires.timestamp()),
                _BODY.encode(token),
            )
            self._db.stamp("tokens", "id = ?", token.id)
            self._db.after_commit(self._db.checkpoint)

    def get(self, token: str) -> tuple[Token, bytes] | None:
        """The token and its digest."""
        rows = self._db.rows("SELECT body, digest FROM tokens WHERE id = ?", token)
        return (_BODY.decode(rows[0][0]), rows[0][1]) if rows else None

    def all(self) -> list[Token]:
        """Oldest first."""
        tokens = [_BODY.decode(row[0]) for row in self._db.rows("SELECT body FROM tokens")]
        return sorted(tokens, key=lambda token: token.created)

    def of(self, uid: int) -> list[Token]:
        """Those that act as the user."""
        return [token for token in self.all() if token.uid == uid]

    def used(self, token: Token, at: datetime) -> None:
        """Remember when the token was last used."""
        body = _BODY.encode(msgspec.structs.replace(token, used=at))
        with self._db.transaction():
            self._db.execute("UPDATE tokens SET body = ? WHERE id = ?", body, token.id)
            self._db.stamp("tokens", "id = ?", token.id)

    def remove(self, token: TokenId) -> list[TokenId]:
        """Remove the token and all that were made with it, directly or not; their ids."""
        with self._db.transaction():
            removed = [row[0] for row in self._db.rows(_FAMILY, token)]
            for each in removed:
                self._db.execute("DELETE FROM tokens WHERE id = ?", each)
            # A copy of state.db alone must not bring a revoked token back.
            self._db.after_commit(self._db.checkpoint)
        return removed

    def forget(self, before: datetime) -> None:
        """Tokens that had expired before that time."""
        self._db.execute("DELETE FROM tokens WHERE expires < ?", int(before.timestamp()))
