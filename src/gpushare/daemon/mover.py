# SPDX-License-Identifier: Apache-2.0
"""Takes shares off the GPU and puts them back, each act journaled: intent, act, confirm.

A leave that was cut short is undone, a return is finished: both are one wish, to be on the GPU.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import asdict, replace

from gpushare.mechanisms.base import Observation
from gpushare.model.errors import GpushareError
from gpushare.model.share import Cause, Moved, Share, State, Suspension, Tier
from gpushare.model.units import format_bytes
from gpushare.store import Act, Intent, Store

from .bus import Bus
from .rig import Rig
from .ways import ByDriver, ByGuard

Step = Callable[[str], None]


class Mover:
    """`step` is told each point at which a crash may happen."""

    def __init__(self, store: Store, rig: Rig, bus: Bus, step: Step = lambda _: None) -> None:
        self._store, self._rig, self._bus, self._step = store, rig, bus, step
        self._ways: dict[Tier, ByGuard | ByDriver] = {
            Tier.MEMORY: ByGuard(rig),
            Tier.DEEP: ByDriver(rig.checkpoints, rig.clock.elapsed),
        }

    async def suspend(
        self,
        share: Share,
        tier: Tier,
        pids: Sequence[int],
        seen: Observation,
        seconds: float,
        *,
        cause: Cause = Cause.USER,
    ) -> Share:
        """Raises NotSuspendableError, HostMemoryError, MoveTimeoutError, MoveFailedError.

        The programs run on then, as before.
        """
        way = self._ways[tier]
        way.check(share, seen)
        intent = self._open(share, Act.SUSPEND, tier)
        self._step("suspend written")
        try:
            moved = await way.leave(share, pids, seconds)
        except GpushareError:
            await way.undo(share, pids)
            self._store.intents.confirm(intent)
            raise
        self._step("suspend acted")
        suspension = Suspension(cause=cause, since=self._rig.clock.now(), tier=tier)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.move(
                share.id,
                State.SUSPENDED,
                suspension=suspension,
                moved={**share.moved, tier: _newer(share.moved.get(tier), moved)},
            )
            self._bus.publish("share.suspended", _how(moved), share=share.id)
        self._step("suspend confirmed")
        return share

    async def resume(self, share: Share, pids: Sequence[int], seconds: float) -> Share:
        """Raises MoveTimeoutError, MoveFailedError; the share stays suspended then."""
        assert share.suspension is not None
        tier = share.suspension.tier
        way = self._ways[tier]
        intent = self._open(share, Act.RESUME, tier)
        self._step("resume written")
        try:
            moved = await way.come_back(share, pids, seconds)
        except GpushareError:
            await way.stay(share)
            self._store.intents.confirm(intent)
            raise
        self._step("resume acted")
        share = self._back(intent, share, tier, moved)
        self._step("resume confirmed")
        return share

    async def recover(self, intent: Intent, share: Share, pids: Sequence[int]) -> None:
        await self._ways[intent.tier].undo(share, pids)
        self._step("undo acted")
        if intent.act is Act.RESUME:
            self._back(intent, share, intent.tier, Moved())
            return
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.undone", "a suspend that was cut short", share=share.id)

    def _open(self, share: Share, act: Act, tier: Tier) -> Intent:
        assert share.decision is not None
        intent = Intent(share=share.id, act=act, decision=share.decision, tier=tier)
        return self._store.intents.open(intent)

    def _back(self, intent: Intent, share: Share, tier: Tier, moved: Moved) -> Share:
        """A share without programs is granted; the next pass sees whether it has any."""
        state = State.RUNNING if share.members else State.GRANTED
        with self._store.transaction():
            self._store.intents.confirm(intent)
            if not (found := self._store.shares.get(share.id)).state.ended:
                found = self._store.shares.move(
                    share.id,
                    state,
                    suspension=None,
                    granted=self._rig.clock.now(),
                    moved={**share.moved, tier: _newer(share.moved.get(tier), moved)},
                )
                self._bus.publish("share.resumed", _how(moved), share=share.id)
        return found


def _newer(old: Moved | None, new: Moved) -> Moved:
    """What the new one does not tell stays."""
    known = {name: value for name, value in asdict(new).items() if value is not None}
    return replace(old or Moved(), **known)


def _how(moved: Moved) -> str:
    seconds = moved.out_seconds if moved.in_seconds is None else moved.in_seconds
    size = moved.out_bytes if moved.in_bytes is None else moved.in_bytes
    said = [f"in {seconds:.2f} s"] if seconds is not None else []
    said += [f"{format_bytes(size)} copied"] if size is not None else []
    return ", ".join(said)
