# SPDX-License-Identifier: Apache-2.0
"""Calls about the audit log."""

from gpushare.api.route import Call, Route
from gpushare.model.audit import AuditQuery, AuditReport, Record, RecordList
from gpushare.model.service import Service
from gpushare.model.value import Value


class VerifyQuery(Value):
    """`partial`: older files may be missing, so the chain need not begin with the first record."""

    partial: bool = False


async def _list(service: Service, call: Call) -> Value:
    return RecordList(items=tuple(await service.audit.records(call.query, call.caller)))


async def _verify(service: Service, call: Call) -> Value:
    return await service.audit.verify(call.caller, partial=call.query.partial)


async def _heads(service: Service, call: Call) -> Value:
    return RecordList(items=tuple(await service.audit.heads(call.caller)))


async def _sign(service: Service, call: Call) -> Value:
    return await service.audit.sign(call.caller)


ROUTES = (
    Route("GET", "/v1/audit", "List audit records; operators see those of all users",
          _list, RecordList, query=AuditQuery),
    Route("GET", "/v1/audit/verify", "Verify the chain of records",
          _verify, AuditReport, query=VerifyQuery),
    Route("GET", "/v1/audit/heads", "List the newest heads, which sign the records before them",
          _heads, RecordList),
    Route("POST", "/v1/audit/heads", "Sign all records up to now", _sign, Record, status=201),
)  # fmt: skip
