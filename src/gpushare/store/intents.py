# SPDX-License-Identifier: Apache-2.0
"""The journal: acts on the machine, written before they begin."""

from enum import StrEnum, unique

import msgspec

from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, State, Tier
from gpushare.model.value import Value

from .bodies import Body
from .database import Database
from .mirror import Mirror


@unique
class Act(StrEnum):
    GRANT = "grant"
    RELEASE = "release"
    SUSPEND = "suspend"
    RESUME = "resume"
    ADJUST = "adjust"
    MIGRATE = "migrate"


class Intent(Value):
    """`decision` is what is made or unmade; `to` and `reason` are the end of a release; `tier` is
    how programs move."""

    share: ShareId
    act: Act
    decision: Decision
    id: int = 0
    to: State = State.RELEASED
    reason: str = ""
    tier: Tier = Tier.MEMORY


_BODY = Body(Intent)


class Intents:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._pending: Mirror[int, Intent] = Mirror(database, self._read)

    @property
    def generation(self) -> int:
        """Grows with each intent that is opened or confirmed."""
        return self._pending.generation

    def open(self, intent: Intent) -> Intent:
        """Write it down; must be committed before the act begins."""
        with self._db.transaction():
            number = self._db.execute(
                "INSERT INTO intents (share, act, arguments) VALUES (?, ?, ?)",
                intent.share,
                intent.act,
                _BODY.encode(intent),
            )
            self._db.stamp("intents", "id = ?", number)
        intent = msgspec.structs.replace(intent, id=number)
        self._pending.put(number, intent)
        return intent

    def confirm(self, intent: Intent) -> None:
        """The act is done or undone; in the transaction that records its result."""
        self._db.execute("DELETE FROM intents WHERE id = ?", intent.id)
        self._pending.remove(intent.id)

    def pending(self) -> list[Intent]:
        """Unconfirmed acts, oldest first."""
        return list(self._pending.rows.values())

    def shares(self, act: Act) -> set[ShareId]:
        """Shares with an unconfirmed act of this kind."""
        return {intent.share for intent in self._pending.rows.values() if intent.act is act}

    def _read(self) -> dict[int, Intent]:
        rows = self._db.rows("SELECT id, arguments FROM intents ORDER BY id")
        return {
            number: msgspec.structs.replace(_BODY.decode(body), id=number) for number, body in rows
        }
