# SPDX-License-Identifier: Apache-2.0
"""Times as text for people: local, with the offset from UTC, or in UTC with `--utc`.

A time as shown can be given back to `--since` and `--at`. JSON and YAML have UTC.
"""

import re
from contextvars import ContextVar
from datetime import UTC, datetime

_UTC: ContextVar[bool] = ContextVar("utc", default=False)
# As the daemon writes times in its messages, whose reader may be in another zone.
_WRITTEN = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)")


def show_utc() -> None:
    """From now on, instead of local time."""
    _UTC.set(True)


def moment(at: datetime) -> str:
    """`2026-12-01 16:00:00+08:00`; `Z` where that is UTC."""
    return _text(at, "seconds")


def minute(at: datetime) -> str:
    """As `moment`, without seconds."""
    return _text(at, "minutes")


def with_local_times(text: str) -> str:
    """A message of the daemon, whose times are in UTC."""
    return _WRITTEN.sub(lambda found: _rewritten(found.group()), text)


def _rewritten(written: str) -> str:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:  # such as a 31st of a shorter month
        return written
    return minute(at) if written.count(":") - written.count("+") == 1 else moment(at)


def _text(at: datetime, precision: str) -> str:
    shown = at.astimezone(UTC) if _UTC.get() else at.astimezone()
    return shown.isoformat(" ", timespec=precision).replace("+00:00", "Z")
