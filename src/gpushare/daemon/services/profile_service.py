# SPDX-License-Identifier: Apache-2.0
"""What is known of programs from past runs, for operators."""

from collections.abc import Sequence

from gpushare.daemon.access.access import Access
from gpushare.model.errors import RoleError
from gpushare.model.profile import Profile, Runs
from gpushare.model.share import Caller
from gpushare.store import Store


class DaemonProfiles:
    def __init__(self, store: Store, access: Access) -> None:
        self._profiles, self._access = store.profiles, access

    async def all(self, caller: Caller) -> Sequence[Profile]:
        """Raises RoleError for those who are no operators."""
        self._check(caller)
        return self._profiles.all()

    async def runs(self, caller: Caller) -> Sequence[Runs]:
        """Raises RoleError for those who are no operators."""
        self._check(caller)
        return self._profiles.runs()

    def _check(self, caller: Caller) -> None:
        if not self._access.all(caller):
            raise RoleError(
                "profiles are for operators",
                "they show what all users run",
                "ask an operator of this machine",
            )
