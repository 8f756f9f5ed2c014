# SPDX-License-Identifier: Apache-2.0
"""Reads times: `14:00`, `+2h`, `2h` before now, or a date and time."""

from datetime import datetime, time, timedelta

from gpushare.model.errors import BadQuantityError
from gpushare.model.units import parse_duration

_HINT = "write a time such as 14:00, +2h, 2026-12-01T08:00"


def parse_time(text: str, now: datetime) -> datetime:
    """Read `14:00` (the next one), `+2h`, or a date and time. Raises BadQuantityError.

    `now` has a time zone; a time without one is in that zone.
    """
    word = text.strip()
    for read in (_from_now, _next, _date):
        try:
            return read(word, now)
        except (ValueError, OverflowError, BadQuantityError):
            continue
    raise BadQuantityError("time", text, _HINT)


def moment(text: str | None, now: datetime) -> datetime | None:
    """Read `2h` (before now), or a date and time. Raises BadQuantityError."""
    if text is None:
        return None
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (BadQuantityError, OverflowError):
        pass
    try:
        return _date(text, now)
    except ValueError:
        raise BadQuantityError(
            "time", text, "write a time such as 2h, 7d, 2026-12-01 or 2026-12-01T08:00"
        ) from None


def _from_now(word: str, now: datetime) -> datetime:
    if not word.startswith("+"):
        raise ValueError(word)
    return now + timedelta(seconds=parse_duration(word[1:]))


def _next(word: str, now: datetime) -> datetime:
    time_of_day = time.fromisoformat(word)
    zone = time_of_day.tzinfo or now.tzinfo
    # The date there: it may be another one than here.
    moment = datetime.combine(now.astimezone(zone).date(), time_of_day, zone)
    return moment if moment > now else moment + timedelta(days=1)


def _date(word: str, now: datetime) -> datetime:
    moment = datetime.fromisoformat(word)
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
