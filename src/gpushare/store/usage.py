# SPDX-License-Identifier: Apache-2.0
"""GPU seconds per tenant and hour, from which GPU hours and fair shares are computed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from gpushare.model.ids import Tenant
from gpushare.model.units import Seconds
from gpushare.model.value import Value

from .database import Database

HOUR = 3600


class Charge(Value):
    """GPU seconds of a tenant around a time, all within one hour."""

    tenant: Tenant
    at: datetime
    seconds: float


class Usage:
    """Sums are also kept in memory, because every decision reads them."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._decayed: Decayed | None = None
        self._within: HourSums | None = None

    def add(self, charges: Iterable[Charge], until: datetime) -> None:
        """Record charges, all or none, and that everything until then is charged."""
        charges = tuple(charges)
        sums: defaultdict[tuple[int, Tenant], float] = defaultdict(float)
        for charge in charges:
            sums[hour_of(charge.at), charge.tenant] += charge.seconds
        with self._db.transaction():
            for (hour, tenant), seconds in sums.items():
                self._db.execute(
                    "INSERT INTO usage VALUES (?1, ?2, ?3, NULL) "
                    "ON CONFLICT DO UPDATE SET seconds = seconds + ?3",
                    hour,
                    tenant,
                    seconds,
                )
                self._db.stamp("usage", "hour = ? AND tenant = ?", hour, tenant)
            sql = "INSERT OR REPLACE INTO charged VALUES (1, ?, NULL)"
            self._db.execute(sql, until.isoformat())
            self._db.stamp("charged", "one = 1")
        if self._within is not None:
            self._within.add(charges)
        if self._decayed is not None:
            # First to the time of the new charges, so that these are added undecayed.
            self._decayed.sums(until)
            self._decayed.add(charges)

    def until(self) -> datetime | None:
        """Until when everything is charged."""
        rows = self._db.rows("SELECT until FROM charged")
        return datetime.fromisoformat(rows[0][0]) if rows else None

    def decayed(self, now: datetime, half_life: Seconds) -> dict[Tenant, float]:
        """GPU seconds of each tenant, those of one half-life ago counting half.

        Exact to the second for charges since the daemon started, to the hour for earlier ones.
        """
        decayed = self._decayed
        # Sums cannot be taken back to an earlier time, so they are made again when the clock was
        # set back.
        if decayed is None or decayed.half_life != half_life or now < decayed.at:
            rows = self._db.rows("SELECT hour, tenant, seconds FROM usage")
            self._decayed = decayed = Decayed(half_life, now)
            decayed.fill((_middle(hour), tenant, seconds) for hour, tenant, seconds in rows)
        return decayed.sums(now)

    def within(self, now: datetime, period: Seconds) -> dict[Tenant, float]:
        """GPU seconds of each tenant in the hours of the newest period."""
        # The period moves by whole hours (ADR 0023).
        first = hour_of(now - timedelta(seconds=period)) + 1
        window = self._within
        if window is None or window.first != first:
            rows = self._db.rows(
                "SELECT tenant, sum(seconds) FROM usage WHERE hour >= ? GROUP BY tenant", first
            )
            self._within = window = HourSums(first, {Tenant(tenant): sum_ for tenant, sum_ in rows})
        return dict(window.sums)

    def forget(self, longest: Seconds) -> None:
        """Keep the newest hours only, as many as this is long.

        Hours are counted, not compared with the clock, so a clock that was wrong loses none.
        """
        self._db.execute(
            "DELETE FROM usage WHERE hour NOT IN "
            "(SELECT DISTINCT hour FROM usage ORDER BY hour DESC LIMIT ?)",
            longest // HOUR + 2,
        )


class HourSums:
    """Sums from one hour on."""

    def __init__(self, first: int, sums: Mapping[Tenant, float]) -> None:
        self.first = first
        self.sums = defaultdict(float, sums)

    def add(self, charges: Iterable[Charge]) -> None:
        """Charges of earlier hours are left out."""
        for charge in charges:
            if hour_of(charge.at) >= self.first:
                self.sums[charge.tenant] += charge.seconds


class Decayed:
    """Sums at the time `at`. All decay alike, so one factor brings them to a later time."""

    def __init__(self, half_life: Seconds, at: datetime) -> None:
        self.half_life, self.at = half_life, at
        self._sums: defaultdict[Tenant, float] = defaultdict(float)

    def add(self, charges: Iterable[Charge]) -> None:
        """Charges, each weighted by its age at the time `at`."""
        self.fill((charge.at.timestamp(), charge.tenant, charge.seconds) for charge in charges)

    def fill(self, rows: Iterable[tuple[float, Tenant, float]]) -> None:
        """Seconds of the epoch, tenant, GPU seconds.

        Charges later than `at` (the clock was set back) count in full.
        """
        at = self.at.timestamp()
        for then, tenant, seconds in rows:
            self._sums[tenant] += seconds * self._weight(at - then)

    def sums(self, now: datetime) -> dict[Tenant, float]:
        """The sums at `now`, which becomes the new `at`; a time before it changes nothing."""
        factor = self._weight((now - self.at).total_seconds())
        self._sums = defaultdict(float, {t: total * factor for t, total in self._sums.items()})
        self.at = max(now, self.at)
        return dict(self._sums)

    def _weight(self, age: float) -> float:
        return float(0.5 ** (max(0.0, age) / self.half_life))


def hour_of(at: datetime) -> int:
    """Hours since the epoch, in UTC."""
    return int(at.timestamp() // HOUR)


def _middle(hour: int) -> float:
    """Seconds of the epoch."""
    return (hour + 0.5) * HOUR
