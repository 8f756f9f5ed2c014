# SPDX-License-Identifier: Apache-2.0
"""`GET /v1/events`: server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

import msgspec
from starlette.requests import Request
from starlette.responses import StreamingResponse

from gpushare.model.errors import UsageError
from gpushare.model.event import Event
from gpushare.model.service import Service
from gpushare.model.share import Caller
from gpushare.model.units import is_number

_HEARTBEAT_SECONDS = 15
_HEARTBEAT = b": still here\n\n"


def stream(service: Service, request: Request, caller: Caller) -> StreamingResponse:
    """Events after `Last-Event-ID` or `?since=`; without either, all stored events."""
    since = request.headers.get("last-event-id") or request.query_params.get("since", "0")
    if not is_number(since):
        raise UsageError(f"cannot read the event number {since!r}", hint="use the id of an event")
    events = service.events(int(since), caller)
    sent = _with_heartbeat(events, lambda: service.identity.ended(caller))
    return StreamingResponse(sent, media_type="text/event-stream")


async def _with_heartbeat(
    events: AsyncIterator[Event], over: Callable[[], Coroutine[None, None, None]]
) -> AsyncIterator[bytes]:
    """Events and heartbeats, which detect that the client is gone. Ends when `over` returns."""
    end = asyncio.ensure_future(over())
    coming = asyncio.ensure_future(anext(events, None))
    try:
        # The first heartbeat sends the headers, so the client knows that it is connected.
        yield _HEARTBEAT
        while True:
            # `wait` leaves its tasks running after the timeout, so no event is lost.
            await asyncio.wait(
                [coming, end],
                timeout=_HEARTBEAT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if end.done():
                return
            if not coming.done():
                yield _HEARTBEAT
                continue
            event = coming.result()
            if event is None:
                return
            yield _frame(event)
            coming = asyncio.ensure_future(anext(events, None))
    finally:
        end.cancel()
        coming.cancel()


def _frame(event: Event) -> bytes:
    data = msgspec.json.encode(event)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), data)
