# SPDX-License-Identifier: Apache-2.0
"""The calls that operate a daemon: the daemon implements them, the API serves them."""

from collections.abc import Sequence
from typing import Protocol

from gpushare.model.share import Caller

from .cordon import Cordon, CordonChange, CordonRequest
from .reload import ReloadReport


class OperationsService(Protocol):
    """Methods raise errors of `model.errors`."""

    async def reload(self, caller: Caller) -> ReloadReport:
        """Read the configuration again. Raises ConfigError; then no setting has changed."""
        ...

    async def cordons(self, caller: Caller) -> Sequence[Cordon]:
        """The cordons in force, of people and of the daemon."""
        ...

    async def cordon(self, ref: str, request: CordonRequest, caller: Caller) -> CordonChange:
        """Keep new shares off a GPU (index or UUID) or the whole machine (`node`)."""
        ...

    async def uncordon(self, ref: str, caller: Caller) -> CordonChange:
        """Lift the cordons of a GPU or of the whole machine, as far as the GPU is sound."""
        ...
