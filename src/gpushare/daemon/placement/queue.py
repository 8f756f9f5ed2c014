# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for a place, in the order in which they are served."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from gpushare.model.ids import ShareId
from gpushare.model.share import Share, State
from gpushare.scheduler import Request, Snapshot, Waiting, ordered
from gpushare.scheduler.request.gang import grouped
from gpushare.store import Store

Unit = tuple[Request, ...]


class HeldBack(Waiting):
    """By limits of its own tenant, or until its time. It blocks no other request."""


class Queue:
    """`busy`: shares with an act that is not confirmed."""

    def __init__(self, store: Store, busy: Callable[[], Collection[ShareId]]) -> None:
        self._store, self._busy = store, busy

    def units(self, state: Snapshot) -> list[Unit]:
        """What is served together: one request, or a gang once it is complete."""
        return grouped(self.requests(state))

    def requests(self, state: Snapshot) -> tuple[Request, ...]:
        """Reservations whose time has come are first: their places were promised."""
        queued = [request_of(share) for share in self._queued()]
        now = [request for request in queued if not ahead_of_time(request, state.now)]
        due = tuple(request for request in now if request.spec.at is not None)
        return (*due, *ordered(state, [request for request in now if request.spec.at is None]))

    def early(self, now: datetime | None) -> list[Request]:
        """Reservations whose time has not come."""
        queued = (request_of(share) for share in self._queued())
        return [request for request in queued if ahead_of_time(request, now)]

    def _queued(self) -> Iterable[Share]:
        busy = self._busy()
        living = self._store.shares.living()
        # A share whose grant was interrupted is still queued in the record and has an intent in the
        # journal.
        return [s for s in living if s.state is State.QUEUED and s.id not in busy]


def before(state: Snapshot, requests: tuple[Request, ...], request: Request) -> tuple[Request, ...]:
    """Those of the waiting requests that are served before a new one."""
    if not state.policy.tenants:
        return requests
    due = tuple(other for other in requests if other.spec.at is not None)
    # The new request takes part in the order: with tenants it may go before requests that wait
    # already.
    rest = ordered(state, (*requests[len(due) :], request))
    return (*due, *rest[: rest.index(request)])


def request_of(share: Share) -> Request:
    """The request that a queued share stands for."""
    return Request(
        spec=share.spec,
        uid=share.uid,
        tenant=share.tenant,
        id=share.id,
        asked=share.created,
        program=share.program,
    )


def ahead_of_time(request: Request, now: datetime | None) -> bool:
    """Whether it is a reservation whose time has not come; without a clock, no."""
    return request.spec.at is not None and now is not None and now < request.spec.at
