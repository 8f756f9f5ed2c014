# SPDX-License-Identifier: Apache-2.0
"""Records of shares with what is observed of them, as the API shows them."""

from collections.abc import Callable, Collection, Sequence

from gpushare.daemon.base.fresh import FRESH_SECONDS, Fresh, Version
from gpushare.daemon.loop.escapes import EscapeWatch
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.policies.idle import Idle
from gpushare.daemon.present.views import share_view
from gpushare.guard.memo import Memo
from gpushare.hardware.ports import Clock
from gpushare.model.ids import ShareId
from gpushare.model.share import Share, State
from gpushare.model.view import ShareView
from gpushare.scheduler import Waiting

_MOST_KNOWN = 2000  # views
_GLANCE_SECONDS = 1.0  # a tool that does not answer does not keep the list from being shown


class ShareViews:
    def __init__(
        self,
        machine: ObservedMachine,
        *,
        observer: Observer,
        processes: ShareProcesses,
        placement: PlacementService,
        idle: Idle,
        escapes: EscapeWatch,
        releasing: Callable[[], Collection[ShareId]],
        version: Version,
        clock: Clock,
    ) -> None:
        self._machine, self._observer, self._processes = machine, observer, processes
        self._placement, self._idle, self._escapes = placement, idle, escapes
        self._releasing = releasing
        self._known: Memo[ShareId, ShareView] = Memo(_MOST_KNOWN)
        self._waiting: Fresh[dict[ShareId, Waiting]] = Fresh(clock, version)
        self._borrowed: Fresh[Collection[ShareId] | None] = Fresh(clock, version)

    async def look(self, shares: Sequence[Share]) -> None:
        """Before `all`: observe the shares again, unless that was done a moment ago."""
        # Clients that poll would otherwise make the daemon read every region at each request.
        await self._observer.glance(shares, age=FRESH_SECONDS, seconds=_GLANCE_SECONDS)

    def all(self, shares: Sequence[Share]) -> list[ShareView]:
        """In the order of `shares`, with everything that their owners may see."""
        queued = any(share.state is State.QUEUED for share in shares)
        # What waiting shares wait for costs a decision for each, so it is asked only if one is
        # shown.
        waiting = self._waiting.get((), self._placement.waiting) if queued else {}
        borrowed = self._borrowed.get((), self._placement.borrowed)
        releasing = self._releasing()
        return [
            self._view(share, waiting.get(share.id), borrowed, releasing=share.id in releasing)
            for share in shares
        ]

    def _view(
        self,
        share: Share,
        waiting: Waiting | None,
        borrowed: Collection[ShareId] | None,
        *,
        releasing: bool,
    ) -> ShareView:
        """The same view while nothing in it changes."""
        machine, observed = self._machine.latest, self._observer.last(share.id)
        seen = share, machine, observed, self._processes.shown(share), waiting
        delivered = self._observer.compute_delivered.percent(share.id)
        idle_since = self._idle.since(share.id)
        is_borrowed = None if borrowed is None else share.id in borrowed
        uncounted = self._escapes.uncounted(share.id)

        def made() -> ShareView:
            return share_view(
                *seen,
                stack=self._observer.stack(share),
                delivered=delivered,
                idle_since=idle_since,
                borrowed=is_borrowed,
                uncounted=uncounted,
                releasing=releasing,
            )

        inputs = *seen, delivered, idle_since, is_borrowed, uncounted, releasing
        return self._known.of(share.id, inputs, made)
