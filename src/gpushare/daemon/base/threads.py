# SPDX-License-Identifier: Apache-2.0
"""Calls that may wait for long, each in a thread of its own.

`asyncio.to_thread` shares a few threads (six on a machine with two cores). One tenant whose
programs do not answer could occupy all of them and so stop every other call. What waits for a
tenant, a tool or the driver therefore runs here. The number of threads is bounded by what starts
them: one act per share, and the bounds of shares per user.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_own_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns or raises.

    A cancelled caller leaves the thread behind; it does not delay the end of the daemon.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)

    def tell(act: Callable[[], None]) -> None:
        # The loop may be closed by the time the call returns.
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None if result.done() else act())

    def run() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 (the caller gets it, as from to_thread)
            failure = error
            tell(lambda: result.set_exception(failure))
        else:
            tell(lambda: result.set_result(value))

    threading.Thread(
        target=run, name=f"act {getattr(function, '__name__', '')}", daemon=True
    ).start()
    return await result
