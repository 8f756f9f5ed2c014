# SPDX-License-Identifier: Apache-2.0
"""What is known of programs from past runs: bounded, and older runs count less."""

from collections.abc import Iterable
from datetime import datetime

from gpushare.model.profile import Profile, Runs
from gpushare.model.units import Bytes

from .bodies import Body
from .database import Database

ENOUGH = 6 * 3600.0  # seconds; above them all that is known of a pair is halved
KEPT = 2000  # pairs, and programs
_BODY = Body(Runs)


class Profiles:
    """Also kept in memory, because every placement reads it."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._cached: tuple[Profile, ...] | None = None

    def all(self) -> tuple[Profile, ...]:
        """Alone (`beside` is "") and with each neighbour, by program."""  # prose: allow
        if self._cached is None:
            self._cached = self._read()
        return self._cached

    def add(self, profiles: Iterable[Profile], at: datetime) -> None:
        """Add to what is known of each pair; forget the pairs not seen for the longest time."""
        # Before the change: if that fails, the next read is still right.
        self._cached = None
        with self._db.transaction():
            for profile in profiles:
                self._add(profile, at.timestamp())
            self._forget("profiles")

    def runs(self) -> tuple[Runs, ...]:
        """Of every program, by its name."""
        return tuple(
            _BODY.decode(body)
            for (body,) in self._db.rows("SELECT body FROM runs ORDER BY program")
        )

    def ended(self, program: str, seconds: float, peak: Bytes | None, at: datetime) -> None:
        """A share of the program has ended."""
        rows = self._db.rows("SELECT body FROM runs WHERE program = ?", program)
        before = _BODY.decode(rows[0][0]) if rows else None
        body = _BODY.encode(_with(before, program, seconds, peak, at))
        with self._db.transaction():
            sql = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, NULL)"
            self._db.execute(sql, program, at.timestamp(), body)
            self._db.stamp("runs", "program = ?", program)
            self._forget("runs")

    def _read(self) -> tuple[Profile, ...]:
        sql = "SELECT program, beside, seconds, work FROM profiles ORDER BY 1, 2"  # prose: allow
        return tuple(
            Profile(program=program, beside=beside, seconds=seconds, work=work)
            for program, beside, seconds, work in self._db.rows(sql)
        )

    def _add(self, new: Profile, at: float) -> None:
        self._db.execute(
            "INSERT INTO profiles VALUES (?1, ?2, ?3, ?4, ?5, NULL) ON CONFLICT DO UPDATE SET"
            " seconds = seconds + ?3, work = work + ?4, at = ?5",
            new.program,
            new.beside,
            new.seconds,
            new.work,
            at,
        )
        self._db.execute(
            "UPDATE profiles SET seconds = seconds / 2, work = work / 2"
            " WHERE program = ? AND beside = ? AND seconds > ?",  # prose: allow
            new.program,
            new.beside,
            ENOUGH,
        )
        pair = "program = ? AND beside = ?"  # prose: allow
        self._db.stamp("profiles", pair, new.program, new.beside)

    def _forget(self, table: str) -> None:
        self._db.execute(
            f"DELETE FROM {table} WHERE at < "  # noqa: S608 (a name of ours)
            f"(SELECT at FROM {table} ORDER BY at DESC LIMIT 1 OFFSET {KEPT - 1})"
        )


def _with(
    before: Runs | None, program: str, seconds: float, peak: Bytes | None, at: datetime
) -> Runs:
    peaks = [size for size in (before.peak if before else None, peak) if size is not None]
    return Runs(
        program=program,
        count=before.count + 1 if before else 1,
        seconds=seconds + (before.seconds if before else 0),
        longest=max(seconds, before.longest if before else 0),
        peak=max(peaks, default=None),
        last=at,
    )
