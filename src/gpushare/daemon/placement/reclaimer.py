# SPDX-License-Identifier: Apache-2.0
"""Takes borrowed room back for those who are guaranteed it, and gives it back when it is free.

The scheduler says what to do; here it is done, one step after the other. What a share refuses is
remembered for a while, so that the next plan takes another way.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.suspend import Processes, SuspendService
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.policy.tenant import Rung
from gpushare.model.reclaim import Action
from gpushare.model.share import Cause, Decision, Share, Tier
from gpushare.model.view import MOVE_SECONDS
from gpushare.scheduler import Request, Snapshot, plan, regrant, returned, returning
from gpushare.store import Store

_BALKED_SECONDS = 60.0
_log = structlog.get_logger()


class Reclaimer:
    """`stop` ends a share with a reason; `leaving` are shares that are being ended."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        executor: Executor,
        transitions: Transitions,
        suspending: SuspendService,
        processes: Processes,
        stop: Callable[[Share, str], Awaitable[None]],
        leaving: Callable[[], Collection[ShareId]],
    ) -> None:
        self._store, self._ports, self._bus = store, ports, bus
        self._executor, self._transitions, self._suspending = executor, transitions, suspending
        self._processes, self._stop = processes, stop
        self.leaving = leaving
        self._balked: dict[tuple[ShareId, Rung], tuple[float, str]] = {}
        self._failed: dict[ShareId, float] = {}

    async def take(self, actions: Sequence[Action], request: Request) -> None:
        """Do what was planned for the request, as far as it can be done."""
        for action in actions:
            share = self._store.shares.get(action.share)
            if not share.state.holds or share.id in self._executor.busy():
                return
            try:
                await self._do(share, action)
            except GpushareError as error:
                self._balks(action, error)
                return
            said = f"for {self._name(request)}: {action.why}"
            self._bus.publish(f"share.reclaimed.{action.rung}", said, share=share.id)

    async def give_back(self, state: Snapshot) -> None:
        """Whoever can come back does, whoever was throttled gets his compute again.

        `state.queue` is everybody who waits. One share at a time: each changes what is free.
        """
        for share in self._taken(state):
            give = self._restore if share.suspension is None else self._come_back
            if await give(state, share):
                return

    def balks(self) -> dict[Rung, dict[ShareId, str]]:
        """Which shares have refused which step a moment ago, and why."""
        fresh = self._ports.clock.elapsed() - _BALKED_SECONDS
        self._balked = {key: found for key, found in self._balked.items() if found[0] > fresh}
        found: dict[Rung, dict[ShareId, str]] = {rung: {} for rung in Rung}
        for (share, rung), (_, because) in self._balked.items():
            found[rung][share] = because
        return found

    async def _do(self, share: Share, action: Action) -> None:
        match action.rung:
            case Rung.THROTTLE:
                await self._executor.adjust(share, _to(action))
            case Rung.SUSPEND:
                await self._suspending.suspend(share, Tier.MEMORY, MOVE_SECONDS, Cause.RECLAIM)
            case Rung.MIGRATE:
                pids = [process.pid for process in await self._processes(share)]
                await self._transitions.migrate(share, _to(action), pids, MOVE_SECONDS)
                self._executor.forget(share.id)
            case Rung.EVICT:
                await self._stop(share, action.why)

    def _balks(self, action: Action, error: GpushareError) -> None:
        _log.warning("reclaim.refused", share=action.share, rung=action.rung, error=str(error))
        now = self._ports.clock.elapsed()
        self._balked[action.share, action.rung] = now, str(error)

    def _taken(self, state: Snapshot) -> list[Share]:
        """Who has had something taken back, the one that was first first."""
        found = [s for s in state.shares if _away(s) or (not s.aside and _throttled(s))]
        fresh = self._ports.clock.elapsed() - _BALKED_SECONDS
        self._failed = {share: at for share, at in self._failed.items() if at > fresh}
        skipped = {*self._executor.busy(), *self._failed}
        return sorted((s for s in found if s.id not in skipped), key=lambda share: share.created)

    async def _restore(self, state: Snapshot, share: Share) -> bool:
        try:
            decision = regrant(state, share, share.spec)
        except GpushareError:
            return False  # there is no room yet
        return await self._tried(share, self._executor.adjust(share, decision))

    async def _come_back(self, state: Snapshot, share: Share) -> bool:
        """One that has come to be within its tenant's guarantee has others give back for it."""
        if not returning(state, share):
            return await self._tried(share, self._suspending.resume(share, MOVE_SECONDS))
        if self.leaving():
            return False
        actions = plan(state, returned(share))
        await self.take(actions, returned(share))
        return bool(actions)

    async def _tried(self, share: Share, act: Awaitable[object]) -> bool:
        """True in any case: also when it failed all may look different. Others come first then."""
        try:
            await act
        except GpushareError as error:
            _log.warning("return.failed", share=share.id, error=str(error))
            self._failed[share.id] = self._ports.clock.elapsed()
        return True

    def _name(self, request: Request) -> str:
        found = next((s for s in self._store.shares.living() if s.id == request.id), None)
        return f"{found.name} of {found.tenant}" if found else str(request.tenant)


def _to(action: Action) -> Decision:
    assert action.to is not None
    return action.to


def _away(share: Share) -> bool:
    return share.suspension is not None and share.suspension.cause is Cause.RECLAIM


def _throttled(share: Share) -> bool:
    """Less compute is guaranteed to it than was asked for."""
    if share.decision is None:
        return False
    wanted = share.spec.compute.guaranteed
    return any(grant.compute_request < wanted for grant in share.decision.grants)
