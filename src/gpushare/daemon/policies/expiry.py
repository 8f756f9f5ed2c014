# SPDX-License-Identifier: Apache-2.0
"""When the time of shares is over."""

from collections.abc import Collection

from gpushare.hardware.ports import Clock
from gpushare.model.ids import ShareId
from gpushare.model.share import Share


class Expiry:
    """Measures by a clock that cannot be set, from the first time a share is seen here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadlines: dict[ShareId, float] = {}

    def over(self, share: Share) -> bool:
        """Whether the share's time is over.

        Setting the system's clock after the first look has no effect.
        """
        if share.expires is None:
            return False
        remaining = (share.expires - self._clock.now()).total_seconds()
        now = self._clock.elapsed()
        # From here on only the clock that cannot be set counts.
        return now >= self._deadlines.setdefault(share.id, now + remaining)

    def changed(self, share: ShareId) -> None:
        """The share has another `expires`."""
        self._deadlines.pop(share, None)

    def times(self) -> Collection[float]:
        """When shares expire, by the clock's `elapsed`."""
        return self._deadlines.values()

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._deadlines = {share: at for share, at in self._deadlines.items() if share in shares}
