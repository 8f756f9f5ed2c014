# SPDX-License-Identifier: Apache-2.0
"""Calls that operate the daemon and its machine."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpushare.model.errors import NoSuchGpuError
from gpushare.model.operations.cordon import Cordon, CordonChange, CordonList, CordonRequest
from gpushare.model.operations.reload import ReloadReport

from .paths import segment

_SECONDS = 60.0


class OperationCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def reload(self) -> ReloadReport:
        """Have the daemon read its configuration again. Raises ConfigError, RoleError."""
        report: ReloadReport = self._call("POST", "/v1/reload", ReloadReport)
        return report

    def cordons(self) -> Sequence[Cordon]:
        """The cordons in force, of people and of the daemon."""
        page: CordonList = self._call("GET", "/v1/cordons", CordonList)
        return page.items

    def cordon(self, target: str, *, reason: str = "", drain: bool = False) -> CordonChange:
        """Keep new shares off a GPU (index or UUID) or the whole machine (`node`).

        Raises NoSuchGpuError, RoleError.
        """
        request = CordonRequest(reason=reason, drain=drain)
        change: CordonChange = self._call("PUT", _cordon(target), CordonChange, body=request)
        return change

    def uncordon(self, target: str) -> CordonChange:
        """Lift its cordons; `now` has what still holds shares off it. Raises NoSuchGpuError."""
        change: CordonChange = self._call("DELETE", _cordon(target), CordonChange)
        return change


def _cordon(target: str) -> str:
    missing = NoSuchGpuError(f"no GPU {target!r}", "`node` means all of them", "gpushare gpus")
    return f"/v1/cordons/{segment(target, missing)}"
