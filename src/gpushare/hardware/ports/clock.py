# SPDX-License-Identifier: Apache-2.0
"""Two kinds of time: the time of day, and the time that intervals are measured by."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, UTC; it jumps when someone sets the clock."""
        ...

    def elapsed(self) -> float:
        """Seconds since boot, suspend included; it never jumps."""
        ...
