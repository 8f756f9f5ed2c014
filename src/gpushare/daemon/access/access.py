# SPDX-License-Identifier: Apache-2.0
"""Who may do what: all users see that shares exist; only owners and operators change them."""

from collections.abc import Collection
from dataclasses import dataclass

from gpushare.model.access.role import Role
from gpushare.model.errors import DeniedError, NotYoursError, RoleError
from gpushare.model.event import Event
from gpushare.model.ids import ShareId
from gpushare.model.share import Caller, Share


@dataclass(frozen=True)
class Access:
    """`operator` is the uid the daemon runs as."""

    operator: int

    def all(self, caller: Caller) -> bool:
        """Whether the caller may act on the shares of all users."""
        return caller.role.covers(Role.OPERATOR)

    def own(self, share: Share, caller: Caller) -> bool:
        """Whether the caller may act on the share: as its user or as an operator."""
        return self.all(caller) or caller.uid == share.uid

    def sight(self, caller: Caller) -> tuple[bool, int]:
        """Equal for callers who see the same of everything."""
        return self.all(caller), caller.uid

    def check(self, share: Share, caller: Caller) -> Share:
        """Raises NotYoursError, which does not name the owner."""
        if not self.own(share, caller):
            raise NotYoursError(
                f"share {share.id} is not yours",
                "it belongs to another user",
                "see yours: gpushare ps",
            )
        return share

    def operate(self, caller: Caller, what: str) -> None:
        """Raises RoleError for those who are no operators; `what`: what they may not do."""
        if not self.all(caller):
            raise RoleError(
                f"{what} is for operators",
                "it concerns the shares of all users",
                "ask an operator of this machine",
            )

    def here(self, caller: Caller) -> None:
        """Raises DeniedError for callers on other machines: a pid means nothing there."""
        if caller.remote is not None:
            raise DeniedError(
                "a program cannot enter a share from another machine",
                "a share's programs run where its GPUs are",
                "start it there: ssh HOST gpushare run -- PROGRAM",
            )

    def hears(self, event: Event, own: Collection[ShareId], caller: Caller) -> bool:
        """Whether the caller, who has the shares `own`, may see an event."""
        if self.all(caller):
            return True
        if event.share is None:
            return event.type.startswith(PUBLIC)
        return event.share in own


PUBLIC = ("gpu.", "mps.")  # of events about no share; the others may name users
