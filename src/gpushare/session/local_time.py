# SPDX-License-Identifier: Apache-2.0
"""The zone of this machine or of TZ, with the offset that it has at each time.

`datetime.now().astimezone()` has the offset of today, which is wrong for times on the other side of
a change to or from summer time.
"""

from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """As localtime(3) has it."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return at.replace(tzinfo=None).astimezone().utcoffset() if at else None

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, at: datetime | None) -> str | None:
        return at.replace(tzinfo=None).astimezone().tzname() if at else None

    def fromutc(self, at: datetime) -> datetime:
        return at.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


def local_now() -> datetime:
    return datetime.now(LocalZone())
