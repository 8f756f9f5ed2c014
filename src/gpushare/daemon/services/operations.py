# SPDX-License-Identifier: Apache-2.0
"""What operators ask of the daemon about itself and its machine."""

from collections.abc import Sequence

from gpushare.daemon.access.access import Access
from gpushare.daemon.present.views import user_name
from gpushare.model.operations.cordon import Cordon, CordonChange, CordonRequest
from gpushare.model.operations.reload import ReloadReport
from gpushare.model.share import Caller

from .cordons import DaemonCordons
from .reload import DaemonReload


class DaemonOperations:
    """Every change is for operators; all callers may see cordons."""

    def __init__(self, reloading: DaemonReload, cordons: DaemonCordons, access: Access) -> None:
        self._reloading, self._cordons, self._access = reloading, cordons, access

    async def reload(self, caller: Caller) -> ReloadReport:
        self._access.operate(caller, "reading the configuration again")
        return self._reloading.reload(user_name(caller.uid))

    async def cordons(self, caller: Caller) -> Sequence[Cordon]:  # noqa: ARG002
        return self._cordons.all()

    async def cordon(self, ref: str, request: CordonRequest, caller: Caller) -> CordonChange:
        self._access.operate(caller, "a cordon")
        return self._cordons.put(ref, request, user_name(caller.uid))

    async def uncordon(self, ref: str, caller: Caller) -> CordonChange:
        self._access.operate(caller, "lifting a cordon")
        return await self._cordons.lift(ref, user_name(caller.uid))
