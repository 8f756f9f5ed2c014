# SPDX-License-Identifier: Apache-2.0
"""Finds records: the newest, or from a number on."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from gpushare.model.audit import MOST_RECORDS, AuditQuery, Record
from gpushare.model.event_types import names_of

from .chain import read
from .files import Files
from .verify import file_lines

_CLOCK_SET_BACK = timedelta(days=1)  # records are in order, their times need not be


def search(
    files: Files, query: AuditQuery, allowed: Callable[[Record], bool] = lambda _: True
) -> list[Record]:
    """Records that match the query, in order."""
    matching = (r for r in _candidates(files, query) if _fits(r, query) and allowed(r))
    if query.last:
        return list(islice(matching, query.last))[::-1]
    return list(islice(matching, MOST_RECORDS))


def _candidates(files: Files, query: AuditQuery) -> Iterator[Record]:
    if not query.last:
        yield from _forwards(files, query)
        return
    for record in files.backwards():
        late = query.since is not None and record.at + _CLOCK_SET_BACK < query.since
        if late or record.seq <= query.after:
            return
        yield record


def _forwards(files: Files, query: AuditQuery) -> Iterator[Record]:
    paths = files.all()
    firsts = [next((r for _, raw in file_lines([p]) if (r := read(raw))), None) for p in paths]
    later = [*firsts[1:], None]
    later_files = [
        path
        for path, following in zip(paths, later, strict=True)
        if following is None or following.seq > query.after + 1
    ]
    for _, raw in file_lines(later_files):
        if record := read(raw):
            if query.upto is not None and record.seq > query.upto:
                return
            yield record


def _fits(record: Record, query: AuditQuery) -> bool:
    return (
        record.seq > query.after
        and (query.upto is None or record.seq <= query.upto)
        and _within(record.at, query)
        and (not query.actor or query.actor in _names(record))
        and _acts(record, query.action)
        and query.object.lower() in record.object.lower()
    )


def _acts(record: Record, action: str) -> bool:
    done = record.action.lower()
    return any(name in done for name in names_of(action.lower()))


def _within(at: datetime, query: AuditQuery) -> bool:
    early = query.since is not None and at < query.since
    late = query.until is not None and at > query.until
    return not early and not late


def _names(record: Record) -> set[str]:
    actor = record.actor
    return {actor.user, str(actor.uid), actor.token or actor.user}
