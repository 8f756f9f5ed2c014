# SPDX-License-Identifier: Apache-2.0
"""Calls about shares."""

from collections.abc import Sequence

import msgspec

from gpushare.api.route import Call, Route
from gpushare.model.service import Service
from gpushare.model.share import State, Verification
from gpushare.model.spec import ShareSpec
from gpushare.model.state.program_end import ProgramEndReport
from gpushare.model.units import Seconds
from gpushare.model.value import Value
from gpushare.model.view import (
    CreateRequest,
    DecisionView,
    EnterRequest,
    Entry,
    MigrateRequest,
    Plan,
    ResumeRequest,
    ShareList,
    ShareView,
    SuspendRequest,
    UpdateRequest,
)


class ListQuery(Value):
    """`ended`: include ended shares."""

    ended: bool = False


class WaitQuery(Value):
    """`for`: states, separated by commas. `timeout`: maximum seconds to wait."""

    states: str = msgspec.field(name="for", default=State.GRANTED.value)
    timeout: int = 30


class EnvironmentQuery(Value):
    """`preload`: the LD_PRELOAD that the process has; the share's own goes before it."""

    preload: str = ""


class RemoveQuery(Value):
    """`force`: end the share's processes first."""

    force: bool = False


async def _create(service: Service, call: Call) -> Value:
    return await service.create(call.body, call.caller)


async def _plan(service: Service, call: Call) -> Value:
    return await service.plan(call.body, call.caller)


async def _list(service: Service, call: Call) -> Value:
    return ShareList(items=tuple(await service.shares(call.caller, ended=call.query.ended)))


async def _show(service: Service, call: Call) -> Value:
    return await service.show(call.ref, call.caller)


async def _wait(service: Service, call: Call) -> Value:
    timeout = Seconds(call.query.timeout)
    return await service.wait(call.ref, _states(call.query.states), timeout, call.caller)


async def _enter(service: Service, call: Call) -> Value:
    return await service.enter(call.ref, call.body, call.caller)


async def _environment(service: Service, call: Call) -> Value:
    return await service.environment(call.ref, call.query.preload, call.caller)


async def _verify(service: Service, call: Call) -> Value:
    return await service.verify(call.ref, call.caller)


async def _suspend(service: Service, call: Call) -> Value:
    return await service.suspend(call.ref, call.body, call.caller)


async def _resume(service: Service, call: Call) -> Value:
    return await service.resume(call.ref, call.body, call.caller)


async def _migrate(service: Service, call: Call) -> Value:
    return await service.migrate(call.ref, call.body, call.caller)


async def _update(service: Service, call: Call) -> Value:
    return await service.update(call.ref, call.body, call.caller)


async def _decision(service: Service, call: Call) -> Value:
    return await service.decision(call.ref, call.caller)


async def _remove(service: Service, call: Call) -> Value:
    return await service.remove(call.ref, call.caller, force=call.query.force)


async def _program_ended(service: Service, call: Call) -> Value:
    return await service.program_ended(call.ref, call.body, call.caller)


def _states(text: str) -> Sequence[State]:
    return msgspec.convert(text.split(","), tuple[State, ...])


ROUTES = (
    Route("POST", "/v1/shares", "Create a share; it is granted or queued",
          _create, ShareView, takes=CreateRequest, status=201),
    Route("GET", "/v1/shares", "List shares in order of creation",
          _list, ShareList, query=ListQuery),
    Route("GET", "/v1/shares/{ref}", "Show a share, by id, id prefix, name or USER:NAME",
          _show, ShareView),
    Route("GET", "/v1/shares/{ref}/wait", "Wait until the share is in a state or has ended",
          _wait, ShareView, query=WaitQuery),
    Route("POST", "/v1/shares/{ref}/enter", "Add a process to the share",
          _enter, Entry, takes=EnterRequest),
    Route("GET", "/v1/shares/{ref}/environment", "Show what a program in the share sets",
          _environment, Entry, query=EnvironmentQuery),
    Route("POST", "/v1/shares/{ref}/verify", "Test whether the share's limits hold",
          _verify, Verification),
    Route("POST", "/v1/shares/{ref}/suspend", "Move the share off the GPU",
          _suspend, ShareView, takes=SuspendRequest),
    Route("POST", "/v1/shares/{ref}/resume", "Move the share back; refused if there is no room",
          _resume, ShareView, takes=ResumeRequest),
    Route("POST", "/v1/shares/{ref}/migrate", "Move the share to other GPUs of its model",
          _migrate, ShareView, takes=MigrateRequest),
    Route("PATCH", "/v1/shares/{ref}", "Change limits, priority or time of a share",
          _update, ShareView, takes=UpdateRequest),
    Route("GET", "/v1/shares/{ref}/decision", "Show the placement decision, and today's",
          _decision, DecisionView),
    Route("DELETE", "/v1/shares/{ref}", "Release the share; forget one that has ended",
          _remove, ShareView, query=RemoveQuery),
    Route("POST", "/v1/shares/{ref}/program-ended", "Report how a detached program ended",
          _program_ended, ShareView, takes=ProgramEndReport),
    Route("POST", "/v1/plan", "Show where a share would be placed", _plan, Plan, takes=ShareSpec),
)  # fmt: skip
