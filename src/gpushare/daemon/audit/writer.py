# SPDX-License-Identifier: Apache-2.0
"""Writes the audit log: takes calls from the API and events from the bus, and loses none.

While the log cannot be written, drafts wait in memory, and `ready` refuses every change until they
are written. What the daemon does by itself continues, because shares must end and give up GPUs.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import structlog

from gpushare.config.settings import Settings
from gpushare.daemon.base.bus import Bus
from gpushare.hardware.ports import Clock
from gpushare.model.audit import OK, Deed, Record
from gpushare.model.errors import GpushareError, StateFullError
from gpushare.model.event import Event
from gpushare.model.share import Caller
from gpushare.model.version import __version__
from gpushare.store.audit import BOOT, DAEMON, STARTED, Log

from .dedupe import Dedupe
from .entries import RecordDraft, digest, of_deed, of_event

_MOST_WAITING = 10_000  # records in memory while the disk is full
_CHANGES_NOTHING = frozenset({"POST /v1/plan"})
_WRONG = frozenset({"audit.missing", "audit.damaged", "audit.rekeyed"})  # loss, not a crash
_log = structlog.get_logger()
Refusals = Callable[[Caller, str], None]
_Key = tuple[int | None, str | None, str, str]


class AuditWriter:
    """Implements `model.audit.Audit`. `refused` receives caller and code of every refused call."""

    def __init__(
        self, log: Log, bus: Bus, clock: Clock, refused: Refusals = lambda _, __: None
    ) -> None:
        self.log, self._bus, self._clock = log, bus, clock
        self._refused = refused
        self._waiting: deque[RecordDraft] = deque()
        self._lost = 0
        self._dedupe: Dedupe[_Key, RecordDraft] = Dedupe(clock.elapsed)

    def start(
        self, settings: Settings, boot: str = "", missed: Iterable[Event] = ()
    ) -> tuple[str, ...]:
        """Record every event and call from now on; returns what is wrong with the log.

        `missed`: events of an earlier daemon that was killed before it recorded them.
        """
        for event in missed:
            if draft := of_event(event):
                self._write(replace(draft, detail={**draft.detail, "late": "at the next start"}))
        self._bus.copy = self._record_event
        self._daemon(STARTED, {"settings": digest(settings), BOOT: boot})
        with suppress(GpushareError):  # tried again with the next record
            self.log.head("start")
        wrong = [it for it in self.log.found if it.action in _WRONG]
        self.settle()
        return tuple(f"audit log: {_message(it)}" for it in wrong)

    def stop(self) -> None:
        """Write what was only counted, and a last head.

        Errors are logged: the daemon ends anyway.
        """
        for draft, more in self._dedupe.all():
            self._write(_with_count(draft, more))
        self._daemon("daemon.stopped", {})
        try:
            self.log.head("stop")
        except GpushareError as error:
            _log.error("audit.unfinished", error=str(error), unwritten=len(self._waiting))
        self.log.close()

    def ready(self) -> None:
        """Raises StateFullError while earlier records wait to be written."""
        if self._waiting and (error := self._catch_up()):
            raise StateFullError(
                "changes are refused now",
                f"the audit log cannot be written: {error}",
                error.hint,
            ) from error

    def tell(self, deed: Deed) -> None:
        """Record a call.

        Reads that were allowed are not. What cannot be written waits in memory.
        """
        if deed.result != OK and deed.caller:
            self._refused(deed.caller, deed.result)
        draft = of_deed(deed, self._clock.now())
        if draft is None:
            return
        # Calls that changed something are always recorded, however many there are.
        foldable = draft.result != OK or draft.action in _CHANGES_NOTHING
        if not foldable or self._dedupe.admit(_key(draft), draft):
            self._write(draft)

    def settle(self) -> None:
        """Once a pass: write what waits and what was counted, and sync the file."""
        for draft, more in self._dedupe.due():
            self._write(_with_count(draft, more))
        if self._waiting and self._catch_up():
            return
        try:
            self.log.settle()
        except GpushareError as error:
            # The next pass tries again; the mark then names the newer end.
            _log.error("audit.unsettled", error=str(error))
        records, self.log.found = self.log.found, []
        for record in records:
            self._bus.publish(record.action, _message(record))

    def _record_event(self, event: Event) -> None:
        if draft := of_event(event):
            self._write(draft)

    def _daemon(self, action: str, detail: dict[str, str]) -> None:
        about = {"version": __version__, "pid": str(os.getpid()), **detail}
        self._write(RecordDraft(self._clock.now(), DAEMON, action, "", OK, about))

    def _write(self, draft: RecordDraft) -> None:
        """In order, after the drafts that wait."""
        if self._waiting:
            self._keep(draft)
            return
        try:
            self._append(draft)
        except GpushareError as error:
            self._keep(draft)
            _log.error("audit.blocked", error=str(error), code=error.code)
            with suppress(GpushareError):  # the state may be on the same disk
                self._bus.publish("audit.blocked", f"{error}; changes are refused until it works")

    def _keep(self, draft: RecordDraft) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(draft)
        else:
            self._lost += 1

    def _catch_up(self) -> GpushareError | None:
        """Write the drafts that wait; returns the error that stops it."""
        try:
            while self._waiting:
                # Removed only after it is written: an error in between must not lose it.
                self._append(self._waiting[0])
                self._waiting.popleft()
            if self._lost:
                lost, self._lost = self._lost, 0
                self._daemon("audit.lost", {"records": str(lost)})
        except GpushareError as error:
            return error
        with suppress(GpushareError):
            self._bus.publish("audit.written", "all waiting records are in the audit log now")
        return None

    def _append(self, draft: RecordDraft) -> None:
        self.log.append(
            draft.actor,
            draft.action,
            draft.object,
            result=draft.result,
            detail=draft.detail,
            at=draft.at,
        )


def _key(draft: RecordDraft) -> _Key:
    """Unknown callers count as one, or made-up paths would fill the disk."""
    actor = draft.actor
    action = "" if actor.uid is None else draft.action
    return actor.uid, actor.token, action, draft.result


def _with_count(draft: RecordDraft, more: int) -> RecordDraft:
    return replace(draft, detail={**draft.detail, "again": str(more)})


def _message(record: Record) -> str:
    return record.detail.get("why") or "lines of the audit log were cut off in a crash"
