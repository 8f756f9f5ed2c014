# SPDX-License-Identifier: Apache-2.0
"""Takes borrowed room back for a guarantee, and gives it back when there is room again.

The scheduler plans the actions; this module carries them out one after the other, in the
background: no pass and no request waits for the programs of a share. While the actions for a
request are in progress no others are planned for it. An action that a share refuses is remembered
for a while, so that the next plan takes another way.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress, outcome
from gpushare.daemon.acts.suspend import SuspendService
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.model.errors import GpushareError, unexpected
from gpushare.model.ids import ShareId
from gpushare.model.policy.reclaim import Action
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Cause, Decision, Share, Tier
from gpushare.model.view import MOVE_SECONDS
from gpushare.scheduler import Request, Snapshot, plan, regrant, returned, returning
from gpushare.store import Store

# Without this pause each pass would plan the same action and meet the same refusal.
_REFUSED_SECONDS = 60.0
_log = structlog.get_logger()


class Reclaimer:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        executor: Executor,
        transitions: Transitions,
        suspending: SuspendService,
        termination: Termination,
        acts: ActsInProgress,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._executor, self._transitions, self._suspending = executor, transitions, suspending
        self._termination, self._acts = termination, acts
        self._refused: dict[tuple[ShareId, Rung], tuple[float, str]] = {}
        # When the return of a share last failed: others may come back meanwhile.
        self._failed: dict[ShareId, float] = {}
        self._taking: dict[ShareId, asyncio.Task[None]] = {}
        self._looked_at: tuple[Sequence[Share], list[Share]] = (), []

    def take(self, actions: Sequence[Action], request: Request) -> None:
        """Begin the actions planned for the request; they end with the first that fails."""
        if actions and request.id not in self._taking:
            work = self._take(actions, self._name(request))
            task = self._acts.follow(work)
            self._taking[request.id] = task
            task.add_done_callback(lambda _: self._taking.pop(request.id, None))

    def takes(self, request: ShareId) -> bool:
        """Whether actions for the request are in progress."""
        return request in self._taking

    async def taken(self, request: ShareId) -> None:
        """Return when the actions for the request that are in progress have ended."""
        if task := self._taking.get(request):
            await asyncio.wait([task])

    async def _take(self, actions: Sequence[Action], name: str) -> None:
        for action in actions:
            share = self._store.shares.get(action.share)
            # An earlier action took time, and the share may have ended or changed meanwhile.
            if not share.state.holds or share.id in self._executor.busy():
                break
            try:
                await self._do(share, action)
            except Exception as error:  # noqa: BLE001 (whatever it is, another way is planned)
                self._refuse(action, unexpected("a share did not give room back", error))
                break
            message = f"for {name}: {action.why}"
            self._bus.publish(f"share.reclaimed.{action.rung}", message, share=share.id)
        self._acts.wake()

    def give_back(self, state: Snapshot) -> None:
        """Resume a share that was suspended, or restore the compute of one that was throttled.

        `state.queue` is everything that waits. One share at a time: each changes what is free.
        """
        for share in self._reclaimed(state):
            give = self._restore if share.suspension is None else self._resume
            if give(state, share):
                return

    def refusals(self) -> dict[Rung, dict[ShareId, str]]:
        """Which shares have refused which action recently, and why."""
        fresh = self._ports.clock.elapsed() - _REFUSED_SECONDS
        self._refused = {key: it for key, it in self._refused.items() if it[0] > fresh}
        reasons: dict[Rung, dict[ShareId, str]] = {rung: {} for rung in Rung}
        for (share, rung), (_, because) in self._refused.items():
            reasons[rung][share] = because
        return reasons

    async def _do(self, share: Share, action: Action) -> None:
        match action.rung:
            case Rung.THROTTLE:
                await outcome(self._executor.adjust(share, _to(action)))
            case Rung.SUSPEND:
                await self._suspending.suspend(share, Tier.MEMORY, MOVE_SECONDS, Cause.RECLAIM)
            case Rung.MIGRATE:
                await outcome(self._transitions.migrate(share, _to(action), MOVE_SECONDS))
                self._executor.forget(share.id)
            case Rung.EVICT:
                await self._termination.stop(share, action.why)

    def _refuse(self, action: Action, error: GpushareError) -> None:
        _log.warning("reclaim.refused", share=action.share, rung=action.rung, error=str(error))
        now = self._ports.clock.elapsed()
        self._refused[action.share, action.rung] = now, str(error)

    def _reclaimed(self, state: Snapshot) -> list[Share]:
        """Shares from which room was taken back, the oldest first."""
        if state.shares is not self._looked_at[0]:
            gave = [s for s in state.shares if _away(s) or (not s.aside and _throttled(s))]
            self._looked_at = state.shares, gave
        candidates = self._looked_at[1]
        fresh = self._ports.clock.elapsed() - _REFUSED_SECONDS
        self._failed = {share: at for share, at in self._failed.items() if at > fresh}
        skipped = {*self._executor.busy(), *self._failed}
        return sorted(
            (s for s in candidates if s.id not in skipped), key=lambda share: share.created
        )

    def _restore(self, state: Snapshot, share: Share) -> bool:
        try:
            decision = regrant(state, share, share)
        except GpushareError:
            return False  # there is no room yet
        return self._begin(share, self._executor.adjust(share, decision))

    def _resume(self, state: Snapshot, share: Share) -> bool:
        """If its tenant's guarantee covers it now, room is taken back from others for it."""
        if not returning(state, share):
            return self._begin(share, self._suspending.begin_resume(share, MOVE_SECONDS))
        # Shares that are being ended will leave room; taking from more shares before that may be
        # needless.
        if self._termination.leaving() or self.takes(share.id):
            return False
        actions = plan(state, returned(share))
        self.take(actions, returned(share))
        return bool(actions)

    def _begin(self, share: Share, task: "asyncio.Future[Any]") -> bool:
        """True in any case: a failure changes the state too. The share is skipped for a while."""

        def note(done: "asyncio.Future[Any]") -> None:
            if not done.cancelled() and (error := done.exception()):
                _log.warning("return.failed", share=share.id, error=str(error))
                self._failed[share.id] = self._ports.clock.elapsed()

        task.add_done_callback(note)
        return True

    def _name(self, request: Request) -> str:
        share = next((s for s in self._store.shares.living() if s.id == request.id), None)
        return f"{share.name} of {share.tenant}" if share else str(request.tenant)


def _to(action: Action) -> Decision:
    assert action.to is not None
    return action.to


def _away(share: Share) -> bool:
    return share.suspension is not None and share.suspension.cause is Cause.RECLAIM


def _throttled(share: Share) -> bool:
    """Less compute is guaranteed to it than it requests."""
    if share.decision is None:
        return False
    requested = share.spec.compute.guaranteed
    return any(grant.compute_request < requested for grant in share.decision.grants)
