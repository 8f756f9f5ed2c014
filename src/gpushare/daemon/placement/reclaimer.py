# SPDX-License-Identifier: Apache-2.0
"""Takes borrowed room back for a guarantee, and gives it back when there is room again.

The scheduler plans the actions; this module carries them out one after the other. An action that a
share refuses is remembered for a while, so that the next plan takes another way.
"""

from collections.abc import Awaitable, Sequence

import structlog

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.suspend import SuspendService
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.errors import GpushareError
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
        processes: ShareProcesses,
        termination: Termination,
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._executor, self._transitions, self._suspending = executor, transitions, suspending
        self._processes, self._termination = processes, termination
        self._refused: dict[tuple[ShareId, Rung], tuple[float, str]] = {}
        # When the return of a share last failed: others may come back meanwhile.
        self._failed: dict[ShareId, float] = {}

    async def take(self, actions: Sequence[Action], request: Request) -> None:
        """Carry out the actions planned for the request, up to the first that fails."""
        for action in actions:
            share = self._store.shares.get(action.share)
            # An earlier action took time, and the share may have ended meanwhile.
            if not share.state.holds or share.id in self._executor.busy():
                return
            try:
                await self._do(share, action)
            except GpushareError as error:
                self._refuse(action, error)
                return
            message = f"for {self._name(request)}: {action.why}"
            self._bus.publish(f"share.reclaimed.{action.rung}", message, share=share.id)

    async def give_back(self, state: Snapshot) -> None:
        """Resume a share that was suspended, or restore the compute of one that was throttled.

        `state.queue` is everything that waits. One share at a time: each changes what is free.
        """
        for share in self._reclaimed(state):
            give = self._restore if share.suspension is None else self._resume
            if await give(state, share):
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
                await self._executor.adjust(share, _to(action))
            case Rung.SUSPEND:
                await self._suspending.suspend(share, Tier.MEMORY, MOVE_SECONDS, Cause.RECLAIM)
            case Rung.MIGRATE:
                pids = [process.pid for process in await self._processes.now(share)]
                await self._transitions.migrate(share, _to(action), pids, MOVE_SECONDS)
                self._executor.forget(share.id)
            case Rung.EVICT:
                await self._termination.stop(share, action.why)

    def _refuse(self, action: Action, error: GpushareError) -> None:
        _log.warning("reclaim.refused", share=action.share, rung=action.rung, error=str(error))
        now = self._ports.clock.elapsed()
        self._refused[action.share, action.rung] = now, str(error)

    def _reclaimed(self, state: Snapshot) -> list[Share]:
        """Shares from which room was taken back, the oldest first."""
        candidates = [s for s in state.shares if _away(s) or (not s.aside and _throttled(s))]
        fresh = self._ports.clock.elapsed() - _REFUSED_SECONDS
        self._failed = {share: at for share, at in self._failed.items() if at > fresh}
        skipped = {*self._executor.busy(), *self._failed}
        return sorted(
            (s for s in candidates if s.id not in skipped), key=lambda share: share.created
        )

    async def _restore(self, state: Snapshot, share: Share) -> bool:
        try:
            decision = regrant(state, share, share)
        except GpushareError:
            return False  # there is no room yet
        return await self._tried(share, self._executor.adjust(share, decision))

    async def _resume(self, state: Snapshot, share: Share) -> bool:
        """If its tenant's guarantee covers it now, room is taken back from others for it."""
        if not returning(state, share):
            return await self._tried(share, self._suspending.resume(share, MOVE_SECONDS))
        # Shares that are being ended will leave room; taking from more shares before that may be
        # needless.
        if self._termination.leaving():
            return False
        actions = plan(state, returned(share))
        await self.take(actions, returned(share))
        return bool(actions)

    async def _tried(self, share: Share, act: Awaitable[object]) -> bool:
        """True in any case: a failure changes the state too. The share is skipped for a while."""
        try:
            await act
        except GpushareError as error:
            _log.warning("return.failed", share=share.id, error=str(error))
            self._failed[share.id] = self._ports.clock.elapsed()
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
