# SPDX-License-Identifier: Apache-2.0
"""Take a share for a process: ask, wait in line, enter; leave nothing behind on the way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gpushare.client.client import Client
from gpushare.model.errors import (
    ConflictError,
    DaemonUnreachableError,
    GpushareError,
    WaitTimeoutError,
)
from gpushare.model.share import State
from gpushare.model.units import Seconds
from gpushare.model.view import CreateRequest, EnterRequest, Entry, ShareView

_POLL_SECONDS = Seconds(2)  # how old the queue position that is told may be
_RESTART_SECONDS = 15.0  # how long a daemon may be away, for an upgrade, before we give up
_PLACED = (State.GRANTED, State.RUNNING, State.SUSPENDED)  # one that takes turns may begin away

OnWait = Callable[[ShareView], None]


@contextmanager
def acquire(
    client: Client, request: CreateRequest, *, timeout: Seconds | None, on_wait: OnWait
) -> Iterator[ShareView]:
    """A granted share. When the block fails or is interrupted, the share is withdrawn.

    `told` hears of every look at the queue. Raises what `Client.create` does, WaitTimeoutError,
    and ConflictError when someone releases the share meanwhile.
    """
    share = client.create(request)
    try:
        yield until_granted(client, share, timeout=timeout, on_wait=on_wait)
    except BaseException:
        with suppress(GpushareError):
            client.remove(share.id)
        raise


def enter(client: Client, share: ShareView, pid: int, preload: str) -> Entry:
    return client.enter(share.id, EnterRequest(pid=pid, preload=preload))


def environment_of(entry: Entry, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a program of the share."""
    kept = {name: value for name, value in environment.items() if name not in entry.unset}
    return {**kept, **entry.env}


def until_granted(
    client: Client, share: ShareView, *, timeout: Seconds | None, on_wait: OnWait
) -> ShareView:
    started = time.monotonic()
    while share.state is State.QUEUED:
        on_wait(share)
        left = None if timeout is None else timeout - (time.monotonic() - started)
        if left is not None and left <= 0:
            raise WaitTimeoutError(
                f"share {share.name} is still queued",
                f"{_reason(share)} for longer than {timeout} s",
                "wait longer: --timeout, or see who has the GPUs: gpushare ps",
            )
        pause = _POLL_SECONDS if left is None else Seconds(max(1, min(_POLL_SECONDS, round(left))))
        share = _poll(client, share, pause)
    if share.state.ended:
        raise ConflictError(
            f"share {share.name} was {share.state} before it was used", share.reason, "try again"
        )
    return share


def _reason(share: ShareView) -> str:
    return f"it waits for {share.queue.waits_for}" if share.queue else "it waits"


def _poll(client: Client, share: ShareView, pause: Seconds) -> ShareView:
    """The share as soon as it has a place, or after the pause; a restart is sat out."""
    give_up_at = time.monotonic() + _RESTART_SECONDS
    while True:
        try:
            return _wait_once(client, share, pause)
        except DaemonUnreachableError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.2)


def _wait_once(client: Client, share: ShareView, pause: Seconds) -> ShareView:
    try:
        return client.wait(share.id, _PLACED, pause)
    except WaitTimeoutError:
        return client.show(share.id)
