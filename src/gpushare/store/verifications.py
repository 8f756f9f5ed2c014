# SPDX-License-Identifier: Apache-2.0
"""Which mechanism stacks were verified, per boot and driver."""

from collections.abc import Sequence

from gpushare.model.share import Verification

from .bodies import Body
from .database import Database

_BODY = Body(Verification)


class Verifications:
    """`boot` is the boot id of the Linux kernel: a reboot ends a verification."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, boot: str, driver: str, stack: Sequence[str], verification: Verification) -> None:
        """Replaces those of earlier boots, which count no more."""
        with self._db.transaction():
            self._db.execute("DELETE FROM verifications WHERE boot != ?", boot)
            self._db.execute(
                "INSERT OR REPLACE INTO verifications VALUES (?, ?, ?, ?, NULL)",
                boot,
                driver,
                "+".join(stack),
                _BODY.encode(verification),
            )
            self._db.stamp("verifications", "sum IS NULL")

    def get(self, boot: str, driver: str, stack: Sequence[str]) -> Verification | None:
        """None: this stack was not verified since the boot, or under another driver."""
        rows = self._db.rows(
            "SELECT body FROM verifications WHERE boot = ? AND driver = ? AND mechanisms = ?",
            boot,
            driver,
            "+".join(stack),
        )
        return _BODY.decode(rows[0][0]) if rows else None
