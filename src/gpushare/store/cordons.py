# SPDX-License-Identifier: Apache-2.0
"""Cordons in force, one by people and one by the daemon for each target."""

from gpushare.model.gpu import GpuHealth
from gpushare.model.operations.cordon import Cordon
from gpushare.model.value import Value

from .bodies import Body
from .database import Database


class StoredCordon(Value):
    """`health`: of the GPU when the daemon set the cordon; `boot`: of the machine then."""

    cordon: Cordon
    health: GpuHealth = GpuHealth()
    boot: str = ""


_BODY = Body(StoredCordon)


class Cordons:
    """Also kept in memory, because every snapshot of the machine needs them."""

    def __init__(self, database: Database) -> None:
        self._db = database
        rows = database.rows("SELECT id, body FROM cordons ORDER BY id")
        self._stored: dict[str, StoredCordon] = {key: _BODY.decode(body) for key, body in rows}

    def all(self) -> tuple[StoredCordon, ...]:
        return tuple(self._stored.values())

    def of(self, target: str, *, automatic: bool) -> StoredCordon | None:
        """The one that is in force; None: there is none."""
        return self._stored.get(_key(target, automatic=automatic))

    def put(self, stored: StoredCordon) -> None:
        """Replaces the one of the same target and kind."""
        key = _key(stored.cordon.target, automatic=stored.cordon.automatic)
        with self._db.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO cordons VALUES (?, ?, NULL)", key, _BODY.encode(stored)
            )
            self._db.stamp("cordons", "id = ?", key)
            # A copy of state.db alone must keep shares off a GPU too.
            self._db.after_commit(self._db.checkpoint)
        self._stored[key] = stored

    def lift(self, target: str, *, automatic: bool) -> None:
        """Does nothing where there is none."""
        key = _key(target, automatic=automatic)
        with self._db.transaction():
            self._db.execute("DELETE FROM cordons WHERE id = ?", key)
            self._db.after_commit(self._db.checkpoint)
        self._stored.pop(key, None)


def _key(target: str, *, automatic: bool) -> str:
    return f"auto:{target}" if automatic else target
