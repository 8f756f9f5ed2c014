# SPDX-License-Identifier: Apache-2.0
"""The audit log as typed calls."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from gpushare.model.audit import AuditQuery, AuditReport, Record, RecordList

_SECONDS = 300.0  # a year of records is walked in this time


class AuditCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def records(self, query: AuditQuery) -> Sequence[Record]:
        page: RecordList = self._call("GET", "/v1/audit", RecordList, query=_parameters(query))
        return page.items

    def every(self, query: AuditQuery) -> Iterator[Record]:
        """From the oldest on, however many they are."""
        while records := self.records(replace(query, last=0)):
            yield from records
            query = replace(query, after=records[-1].seq)

    def verify(self, *, partial: bool = False) -> AuditReport:
        """Walk the whole chain; operators only. `partial`: older files were moved away."""
        query = {"partial": "true"} if partial else {}
        report: AuditReport = self._call("GET", "/v1/audit/verify", AuditReport, query=query)
        return report

    def heads(self) -> Sequence[Record]:
        page: RecordList = self._call("GET", "/v1/audit/heads", RecordList)
        return page.items

    def sign(self) -> Record:
        """A head over everything until now; operators only."""
        head: Record = self._call("POST", "/v1/audit/heads", Record)
        return head


def _parameters(query: AuditQuery) -> dict[str, str]:
    """What differs from what holds anyway, as it stands in a URL."""
    plain, usual = msgspec.to_builtins(query), msgspec.to_builtins(AuditQuery())
    return {name: str(value) for name, value in plain.items() if value != usual[name]}
