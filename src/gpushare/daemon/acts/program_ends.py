# SPDX-License-Identifier: Apache-2.0
"""Records how the programs of shares ended, and what a share had used when it is over.

The program of a share is its holder. The Linux kernel says how it ended as long as the daemon has a
pidfd of it; the supervisor of a detached program says it too, also when the daemon was not running,
and brings the last output. Whichever comes first counts, and what is known replaces what is not.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.hardware.ports import Clock
from gpushare.model.errors import ConflictError, NoSuchShareError
from gpushare.model.share import Share
from gpushare.model.state.program_end import (
    ProgramEnd,
    ProgramEndReport,
    RecordBounds,
    program_end,
)
from gpushare.model.units import Bytes
from gpushare.store import Store

# A supervisor starts Python and reads a file. One that found no daemon tries again in five seconds.
_REPORT_TIME, _LATE_REPORT_TIME = timedelta(seconds=2), timedelta(seconds=10)
_UNWATCHED = "it ended while the daemon was not running"
_UNKNOWN = "this Linux kernel does not say how it ended; version 6.15 and newer do"


class ProgramEnds:
    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        *,
        observer: Observer,
        processes: ShareProcesses,
        bounds: RecordBounds,
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._observer, self._processes, self.bounds = observer, processes, bounds

    def notice(self, share: Share) -> Share:
        """Record the end of a holder that has ended, once; a child of it may keep the share."""
        if share.end is not None or self._processes.watches(share.holder):
            return share
        if (end := self._seen(share)) is None:
            return share
        return self._record(share, end)

    def last(self, share: Share) -> dict[str, object]:
        """What the record of a share that ends now says in addition."""
        peak = self._observer.last(share.id).peak
        return {
            "end": share.end or self._seen(share),
            "peak": Bytes(sum(peak.values())) if peak else share.peak,
        }

    def report(self, share: Share, report: ProgramEndReport) -> Share:
        """What a supervisor says; only its first report counts. Raises ConflictError."""
        if not share.supervised:
            return share
        if share.holder is not None and self._processes.alive(share.holder):
            raise ConflictError(f"the program of share {share.name} has not ended")
        with self._store.transaction():
            self._store.outputs.put(share.id, share.uid, report.output, self.bounds)
            # Not the reported time if the share is newer: clocks are set back.
            at = min(max(report.at, share.created), self._clock.now())
            share = self._store.shares.update(share.id, supervised=False)
            end = program_end(report.status, at, share.started)
            known = share.end is not None and share.end.code is not None
            # In any case with an event, which those who wait for the report hear.
            return self._record(share, share.end if known and share.end else end)

    async def reported(self, share: Share) -> Share:
        """A share that has ended, once its supervisor has reported, or has had time for it."""
        known = share.end is not None and share.end.code is not None
        longest = _REPORT_TIME if known else _LATE_REPORT_TIME
        if share.ended is None or self._clock.now() - share.ended > longest:
            return share
        latest: Share | None = share
        with suppress(TimeoutError):
            async with asyncio.timeout(longest.total_seconds()):
                # Without a record where it is not to be remembered.
                while (latest := self._stored(share)) is not None and latest.supervised:
                    await self._bus.changed()
        return latest or share

    def _stored(self, share: Share) -> Share | None:
        try:
            return self._store.shares.get(share.id)
        except NoSuchShareError:
            return None

    def _record(self, share: Share, end: ProgramEnd) -> Share:
        with self._store.transaction():
            self._bus.publish("share.exited", end.text, share=share.id)
            return self._store.shares.update(share.id, end=end)

    def _seen(self, share: Share) -> ProgramEnd | None:
        """None for a holder that still runs, or never became a program of the share."""
        if share.holder is None or share.started is None or self._processes.alive(share.holder):
            return None
        status = self._processes.status(share.holder)
        because = _UNKNOWN if self._processes.watched(share.holder) else _UNWATCHED
        return program_end(status, self._clock.now(), share.started, because)
