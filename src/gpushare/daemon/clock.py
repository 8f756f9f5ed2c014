# SPDX-License-Identifier: Apache-2.0
"""Two kinds of time: the one people read, and the one that intervals are measured by."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, UTC; it jumps when someone sets the clock."""
        ...

    def elapsed(self) -> float:
        """Seconds since boot, suspend included; it never jumps."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
