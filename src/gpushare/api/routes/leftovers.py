# SPDX-License-Identifier: Apache-2.0
"""Calls of upkeep: leftovers, backups, past runs."""

from gpushare.api.route import Call, Route
from gpushare.model.leftover import CleanReport, CleanRequest, LeftoverList
from gpushare.model.profile import ProfileList
from gpushare.model.service import Service
from gpushare.model.state.backup import Backup
from gpushare.model.value import Value


async def _list(service: Service, call: Call) -> Value:
    return LeftoverList(items=tuple(await service.leftovers.all(call.caller)))


async def _clean(service: Service, call: Call) -> Value:
    return CleanReport(items=tuple(await service.leftovers.clean(call.body, call.caller)))


async def _backup(service: Service, call: Call) -> Value:
    return await service.backups.make(call.caller)


async def _profiles(service: Service, call: Call) -> Value:
    return ProfileList(
        items=tuple(await service.profiles.all(call.caller)),
        runs=tuple(await service.profiles.runs(call.caller)),
    )


ROUTES = (
    Route("GET", "/v1/leftovers", "List leftovers on the machine; for operators",
          _list, LeftoverList),
    Route("POST", "/v1/leftovers/clean", "Remove leftovers of gpushare, end the named processes",
          _clean, CleanReport, takes=CleanRequest),
    Route("POST", "/v1/backup", "Copy the state of the daemon; for operators", _backup, Backup),
    Route("GET", "/v1/profiles", "Show the speed of programs alone and next to others",
          _profiles, ProfileList),
)  # fmt: skip
