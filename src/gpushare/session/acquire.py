# SPDX-License-Identifier: Apache-2.0
"""Gets a share for a process: create it, wait in the queue, enter it.

`gpushare run` and `gpushare.share()` take three steps; `gpushare create` only the first:

1. `acquire` creates the share, with the caller's pid as its *holder*, and waits for the grant. It
   polls with a short timeout, so that `on_wait` can show the position in the queue.
2. The block runs with the granted share. Usually it calls `enter`, which adds the process to the
   share and returns an `Entry`: variables to set and unset, CPUs, NUMA nodes.
3. The process execs the program with `environment_of(entry, …)`. The pid stays the same, so the
   daemon sees the holder run the program and releases the share when the pid ends.

If anything fails before the exec, including Ctrl-C, `acquire` removes the share. A crash needs no
cleanup: the daemon releases shares whose holder has ended, and those in the queue whose `waiter`
has, also when it was not running at that moment. While a share is queued or entered, a daemon that
goes away is waited for (`client.reconnect`): the queue is in its state, and places in it stay.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from gpushare.client.client import Client
from gpushare.client.reconnect import Reconnect
from gpushare.model.errors import (
    ConflictError,
    GpushareError,
    WaitTimeoutError,
)
from gpushare.model.share import State
from gpushare.model.units import Seconds
from gpushare.model.view import CreateRequest, EnterRequest, Entry, ShareView

_POLL_SECONDS = Seconds(2)  # how old the queue position passed to `on_wait` may be
# A share with memory turns may start suspended.
_PLACED = (State.GRANTED, State.RUNNING, State.SUSPENDED)

OnWait = Callable[[ShareView], None]


@contextmanager
def acquire(
    client: Client,
    request: CreateRequest,
    *,
    timeout: Seconds | None,
    on_wait: OnWait,
    reconnect: Reconnect | None = None,
) -> Iterator[ShareView]:
    """A granted share; it is removed if the block fails or is interrupted.

    `on_wait` is called with the share while it is queued. `reconnect` None: a daemon that goes away
    is an error at once. Raises as `Client.create` does,
    WaitTimeoutError, and ConflictError if the share ends meanwhile.
    """
    share, reconnect = client.create(request), reconnect or Reconnect(0)
    try:
        share = until_granted(client, share, timeout=timeout, on_wait=on_wait, reconnect=reconnect)
        yield _usable(share)
    # Also on KeyboardInterrupt and SystemExit: no share remains in the queue.
    except BaseException:
        # The first error matters. A share that could not be removed ends with its holder.
        if not share.state.ended:  # its record says why
            with suppress(GpushareError):
                client.remove(share.id)
        raise


def enter(client: Client, share: ShareView, pid: int, preload: str, reconnect: Reconnect) -> Entry:
    """Add the process to the share; `preload` is its LD_PRELOAD, which stays behind the guard's."""
    request = EnterRequest(pid=pid, preload=preload)
    return reconnect.call(lambda: client.enter(share.id, request))


def environment_of(entry: Entry, environment: dict[str, str]) -> dict[str, str]:
    """The environment for a program in the share, made from the caller's."""
    kept = {name: value for name, value in environment.items() if name not in entry.unset}
    return {**kept, **entry.env, **sanitizer_options(entry, environment)}


def sanitizer_options(entry: Entry, environment: Mapping[str, str]) -> dict[str, str]:
    """AddressSanitizer otherwise refuses to start a program behind a preloaded library."""
    options = environment.get("ASAN_OPTIONS", "")
    if "LD_PRELOAD" not in entry.env or "verify_asan_link_order" in options:
        return {}
    return {"ASAN_OPTIONS": ":".join(filter(None, (options, "verify_asan_link_order=0")))}


def until_granted(
    client: Client,
    share: ShareView,
    *,
    timeout: Seconds | None,
    on_wait: OnWait,
    reconnect: Reconnect,
) -> ShareView:
    """Wait while the share is queued; raises WaitTimeoutError. It may have ended meanwhile."""
    started = time.monotonic()
    while share.state is State.QUEUED:
        on_wait(share)
        left = None if timeout is None else timeout - (time.monotonic() - started)
        if left is not None and left <= 0:
            raise WaitTimeoutError(
                f"share {share.name} is still queued",
                f"after {timeout} s {_reason(share)}",
                "increase --timeout, or see who holds the GPUs: gpushare ps",
            )
        pause = _POLL_SECONDS if left is None else Seconds(max(1, min(_POLL_SECONDS, round(left))))
        share = reconnect.call(partial(_wait_once, client, share, pause))
    return share


def _usable(share: ShareView) -> ShareView:
    if share.state.ended:
        raise ConflictError(
            f"share {share.name} was {share.state} before use", share.reason, "try again"
        )
    return share


def _reason(share: ShareView) -> str:
    return f"it waits for {share.queue.waits_for}" if share.queue else "it waits"


def _wait_once(client: Client, share: ShareView, pause: Seconds) -> ShareView:
    try:
        return client.wait(share.id, _PLACED, pause)
    except WaitTimeoutError:
        return client.show(share.id)
