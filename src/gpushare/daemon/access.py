# SPDX-License-Identifier: Apache-2.0
"""Who may do what: everyone sees that shares exist; only owner and operator touch them."""

from dataclasses import dataclass

from gpushare.model.errors import NotYoursError
from gpushare.model.share import Caller, Share

from .views import user_name


@dataclass(frozen=True)
class Access:
    """`operator` is the uid the daemon runs as; it and root may do everything."""

    operator: int

    def all(self, caller: Caller) -> bool:
        return caller.uid in {0, self.operator}

    def own(self, share: Share, caller: Caller) -> bool:
        return self.all(caller) or caller.uid == share.uid

    def check(self, share: Share, caller: Caller) -> Share:
        """Raises NotYoursError."""
        if not self.own(share, caller):
            raise NotYoursError(
                f"share {share.name} is not yours",
                f"it belongs to {user_name(share.uid)}",
                "see yours: gpushare ps",
            )
        return share
