# SPDX-License-Identifier: Apache-2.0
"""Events: kept in the store, and a wake-up for followers of the next one."""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from gpushare.hardware.ports import Clock
from gpushare.model.errors import DaemonUnreachableError
from gpushare.model.event import Event
from gpushare.model.event_types import EVENT_TYPES
from gpushare.model.ids import GpuId, ShareId
from gpushare.store import Store

PAGE = 100  # events that are read at once
_log = structlog.get_logger()


class Bus:
    """`copy` receives every event, once the change that it reports is committed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.copy: Callable[[Event], None] = lambda _: None
        self._next = asyncio.Event()
        self._closed = False

    def publish(
        self,
        kind: str,
        message: str,
        *,
        share: ShareId | None = None,
        gpu: GpuId | None = None,
    ) -> Event:
        """Keep the event; when it is committed, log and copy it and wake every follower.

        Raises KeyError for a type that `model.event_types` does not list.
        """
        level = EVENT_TYPES[kind].level
        now = self._clock.now()
        event = self._store.events.add(now, kind, message, share=share, gpu=gpu)
        # A change that is rolled back, because the disk is full, must be reported nowhere.
        self._store.after_commit(lambda: self._report(event, level))
        return event

    def _report(self, event: Event, level: str) -> None:
        subject = {"share": event.share, "gpu": event.gpu}
        getattr(_log, level)(
            event.type, message=event.message, **{key: it for key, it in subject.items() if it}
        )
        self.copy(event)
        self._wake()

    def close(self) -> None:
        """End every `follow`, so that no connection delays the shutdown."""
        self._closed = True
        self._wake()

    async def changed(self) -> None:
        """Return after the next event; raises DaemonUnreachableError when the daemon stops."""
        if not self._closed:
            await self._next.wait()
        if self._closed:
            raise DaemonUnreachableError(
                "the daemon is stopping", "it ends at a signal", "try again when it runs"
            )

    async def follow(self, since: int) -> AsyncIterator[tuple[Event, ...]]:
        """Every event after `since`, then the ones to come, some at a time.

        All of them after a number that no event has had yet: it is of a state that was lost.

        Other work goes on between two pages, so that a follower who begins with old events delays
        no one else.
        """
        # A restored state begins with an event whose number is beyond all that were lost with it.
        if since > self._store.events.last():
            since = 0
        while True:
            # Taken before the store is read, so that an event which is published in between is not
            # missed.
            following = self._next
            while page := tuple(self._store.events.since(since, PAGE)):
                since = page[-1].seq
                yield page
                await asyncio.sleep(0)
            if self._closed:
                return
            await following.wait()

    def _wake(self) -> None:
        # Waiters keep the old event, which stays set: none can miss it, however late it is
        # scheduled.
        self._next.set()
        self._next = asyncio.Event()
