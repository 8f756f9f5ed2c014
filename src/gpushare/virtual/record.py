# SPDX-License-Identifier: Apache-2.0
"""Makes a trace of the audit log: requests, grants, suspensions and ends of shares.

The log has the spec of each request, and every event of a share with its time. What it does not
have: labels, and so what a share must be near to or apart from, because they may be confidential;
and how much of a GPU a program used. Changes of limits and memory turns are not in a trace.
"""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from gpushare.model.audit import OK, Record
from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.spec import MechanismName, ShareSpec
from gpushare.model.view import GpuView

from .trace import Period, RecordedShare, Trace, head

_CREATED = "POST /v1/shares"
_CHANGED = "PATCH /v1/shares/"
_PLACE = re.compile(r"^(?P<by>[a-z+-]+) on (?P<gpus>\S+(?:, \S+)*)$")
_LISTS = ("gpu", "select")


class Recorder:
    """Takes records in the order of the log; `trace` is what they come to."""

    def __init__(self) -> None:
        self._shares: dict[ShareId, RecordedShare] = {}
        # A request is recorded when it is answered, so events of its share come before it.
        self._events: dict[ShareId, list[Record]] = {}
        self._changed = 0
        self._unread = 0

    def take(self, record: Record) -> None:
        """One record; what says nothing about shares is passed over."""
        if record.action == _CREATED and record.result == OK and record.object:
            self._create(record)
        elif record.action.startswith(_CHANGED) and record.result == OK:
            self._changed += 1
        elif record.action in _EVENTS:
            self._events.setdefault(ShareId(record.object), []).append(record)

    def _create(self, record: Record) -> None:
        name = ShareId(record.object)
        try:
            spec = spec_of(record.detail)
        except (msgspec.ValidationError, GpushareError):
            self._unread += 1
            return
        self._shares[name] = RecordedShare(
            id=name,
            tenant=Tenant(record.detail.get("tenant", record.actor.user)),
            uid=record.actor.uid or 0,
            spec=spec,
            asked=record.at,
            program=record.detail.get("program", ""),
        )

    def trace(self, since: datetime, until: datetime, machine: Machine, policy: Policy) -> Trace:
        """Of the shares that were there in that time, also those that came before."""
        there = [it for it in map(self._told, self._shares.values()) if _there(it, since, until)]
        begin = min([since, *(share.asked for share in there)])
        notes = (
            (self._changed, "changes of limits"),
            (self._unread, "requests that an earlier version recorded incompletely"),
            (sum(it.spec.at is not None for it in there), "reservations, which arrive at once"),
            (sum(it.spec.turns for it in there), "shares with memory turns, which take none"),
        )
        made = head(begin, until, machine, policy)
        told = tuple(f"{count} {what}" for count, what in notes if count)
        there.sort(key=lambda share: share.asked)
        return Trace(head=replace(made, notes=told), shares=tuple(there))

    def _told(self, share: RecordedShare) -> RecordedShare:
        """With what its events say."""
        for record in self._events.get(share.id, ()):
            share = _EVENTS[record.action](share, record)
        return share


def _there(share: RecordedShare, since: datetime, until: datetime) -> bool:
    return share.asked < until and (share.ended is None or share.ended > since)


def _asked(share: RecordedShare, record: Record) -> RecordedShare:
    return replace(share, asked=min(share.asked, record.at))


def _granted(share: RecordedShare, record: Record) -> RecordedShare:
    place = _PLACE.match(record.detail.get("message", ""))
    if share.granted is not None or place is None:
        return share
    return replace(
        share,
        granted=record.at,
        gpus=tuple(GpuId(gpu) for gpu in place["gpus"].split(", ")),
        mechanisms=tuple(MechanismName(name) for name in place["by"].split("+")),
    )


def _suspended(share: RecordedShare, record: Record) -> RecordedShare:
    return replace(share, away=(*share.away, Period(begin=record.at)))


def _resumed(share: RecordedShare, record: Record) -> RecordedShare:
    if not share.away:
        return share
    *before, last = share.away
    return replace(share, away=(*before, replace(last, end=record.at)))


def _ended(share: RecordedShare, record: Record) -> RecordedShare:
    return share if share.ended else replace(share, ended=record.at)


def _evicted(share: RecordedShare, _: Record) -> RecordedShare:
    return replace(share, evicted=True)


_EVENTS: dict[str, Callable[[RecordedShare, Record], RecordedShare]] = {
    "share.queued": _asked,
    "share.reserved": _asked,
    "share.granted": _granted,
    "share.suspended": _suspended,
    "share.resumed": _resumed,
    "share.released": _ended,
    "share.failed": _ended,
    "share.reclaimed.evict": _evicted,
}


def spec_of(detail: dict[str, str]) -> ShareSpec:
    """The spec in a record of its creation. Raises msgspec.ValidationError, BadSpecError."""
    plain: dict[str, Any] = {}
    for path, text in detail.items():
        first, *rest = path.split(".")
        if first == "spec" and rest:
            _put(plain, rest, text)
    return msgspec.convert(plain, ShareSpec, strict=False)


def _put(plain: dict[str, Any], path: list[str], text: str) -> None:
    *above, name = path
    for part in above:
        plain = plain.setdefault(part, {})
    if name in _LISTS:
        plain[name] = text.split(", ")
    else:
        plain[name] = text.lower() if text in {"True", "False"} else text


def machine_of(views: Iterable[GpuView]) -> Machine:
    """The machine as the scheduler knows it, from what the API shows of its GPUs."""
    views = list(views)
    by_name: dict[MechanismName, Capability] = {}
    for view in views:
        for found in view.mechanisms:
            usual = by_name.setdefault(found.mechanism, found)
            by_name[found.mechanism] = usual if usual.available else found
    return Machine(
        gpus=tuple(_gpu(view) for view in views),
        capabilities=tuple(by_name.values()),
        links={view.uuid: view.topology for view in views if view.topology},
    )


def _gpu(view: GpuView) -> Gpu:
    return Gpu(
        uuid=view.uuid,
        index=view.index,
        name=view.name,
        memory_total=view.memory.total,
        memory_reserved=view.memory.reserved,
        health=view.health,
        driver=view.driver,
        simulated=view.simulated,
    )
