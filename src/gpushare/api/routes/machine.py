# SPDX-License-Identifier: Apache-2.0
"""Calls about the machine."""

from gpushare.api.route import Call, Route
from gpushare.model.service import Service
from gpushare.model.value import Value
from gpushare.model.view import GpuList, VersionView


async def _gpus(service: Service, call: Call) -> Value:
    return GpuList(items=tuple(await service.gpus(call.caller)))


async def _version(service: Service, call: Call) -> Value:
    return await service.version(call.caller)


ROUTES = (
    Route("GET", "/v1/gpus", "List the GPUs of this machine", _gpus, GpuList),
    Route(
        "GET", "/v1/version", "Show the versions of daemon, API and driver", _version, VersionView
    ),
)
