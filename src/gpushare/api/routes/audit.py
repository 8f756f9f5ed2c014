# SPDX-License-Identifier: Apache-2.0
"""Calls about the audit log."""

from gpushare.api.route import Call, Route
from gpushare.model.audit import AuditQuery, AuditReport, Record, RecordList
from gpushare.model.service import Service
from gpushare.model.value import Value


class VerifyQuery(Value):
    """`partial`: older files were moved away, so it need not begin with the first record."""

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
    Route("GET", "/v1/audit", "Records of what was done; an operator's are everybody's",
          _list, RecordList, query=AuditQuery),
    Route("GET", "/v1/audit/verify", "Whether the chain of records holds",
          _verify, AuditReport, query=VerifyQuery),
    Route("GET", "/v1/audit/heads", "The newest heads, which prove what is before them",
          _heads, RecordList),
    Route("POST", "/v1/audit/heads", "Sign everything until now", _sign, Record, status=201),
)  # fmt: skip
