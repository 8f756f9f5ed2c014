# SPDX-License-Identifier: Apache-2.0
"""Calls that operate the daemon and its machine."""

from gpushare.api.route import Call, Route
from gpushare.model.operations.cordon import CordonChange, CordonList, CordonRequest
from gpushare.model.operations.reload import ReloadReport
from gpushare.model.service import Service
from gpushare.model.value import Value


async def _reload(service: Service, call: Call) -> Value:
    return await service.operations.reload(call.caller)


async def _cordons(service: Service, call: Call) -> Value:
    return CordonList(items=tuple(await service.operations.cordons(call.caller)))


async def _cordon(service: Service, call: Call) -> Value:
    return await service.operations.cordon(call.ref, call.body, call.caller)


async def _uncordon(service: Service, call: Call) -> Value:
    return await service.operations.uncordon(call.ref, call.caller)


ROUTES = (
    Route("GET", "/v1/cordons", "List the cordons, which keep new shares off GPUs",
          _cordons, CordonList),
    Route("PUT", "/v1/cordons/{ref}", "Cordon a GPU, by index or UUID, or the whole `node`",
          _cordon, CordonChange, takes=CordonRequest),
    Route("DELETE", "/v1/cordons/{ref}", "Lift the cordons of a GPU or of the `node`",
          _uncordon, CordonChange),
    Route("POST", "/v1/reload", "Read the configuration again; shows what changed",
          _reload, ReloadReport),
)  # fmt: skip
