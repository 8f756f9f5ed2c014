# SPDX-License-Identifier: Apache-2.0
"""The kernel's clocks."""

import time
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        """The time of day, in UTC; it can be set."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Seconds since boot, including those asleep.

        Setting the time of day does not change it.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)
