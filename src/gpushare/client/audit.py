# SPDX-License-Identifier: Apache-2.0
"""Calls about the audit log."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from gpushare.model.audit import AuditQuery, AuditReport, Record, RecordList

_SECONDS = 300.0  # enough to verify a year of records


class AuditCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def records(self, query: AuditQuery) -> Sequence[Record]:
        """Matching records, at most one page; those of others only for operators."""
        page: RecordList = self._call("GET", "/v1/audit", RecordList, query=_parameters(query))
        return page.items

    def every(self, query: AuditQuery) -> Iterator[Record]:
        """All matching records, oldest first, in pages."""
        while records := self.records(replace(query, last=0)):
            yield from records
            query = replace(query, after=records[-1].seq)

    def verify(self, *, partial: bool = False) -> AuditReport:
        """Verify the chain; for operators. `partial`: older files may be missing."""
        query = {"partial": "true"} if partial else {}
        report: AuditReport = self._call("GET", "/v1/audit/verify", AuditReport, query=query)
        return report

    def heads(self) -> Sequence[Record]:
        """The newest heads, which sign the records before them; for operators."""
        page: RecordList = self._call("GET", "/v1/audit/heads", RecordList)
        return page.items

    def sign(self) -> Record:
        """Sign all records up to now with a head; for operators."""
        head: Record = self._call("POST", "/v1/audit/heads", Record)
        return head


def _parameters(query: AuditQuery) -> dict[str, str]:
    """The parameters of a URL for the fields that differ from their defaults."""
    plain, usual = msgspec.to_builtins(query), msgspec.to_builtins(AuditQuery())
    return {name: str(value) for name, value in plain.items() if value != usual[name]}
