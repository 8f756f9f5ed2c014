# SPDX-License-Identifier: Apache-2.0
"""Shares that use no GPU time: detected, reported, and handled as the policy says.

Where a guard runs, it counts the work that programs give to the GPU. NVML's samples of processes
are used without a guard, and where it has counted nothing, because one launch can run for an hour.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpushare.daemon.base.bus import Bus
from gpushare.guard import ShareSlot
from gpushare.hardware.ports import Clock
from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.policy.tenant import IdleAct, IdlePolicy
from gpushare.model.share import Share
from gpushare.model.spec import Priority
from gpushare.model.units import Seconds
from gpushare.model.value import Value
from gpushare.model.view import SuspendRequest, UpdateRequest

SHOWN = 60.0  # seconds without work before a share is shown as idle
PATIENCE = Seconds(30)  # for one suspend
_FAILED = {IdleAct.LOWER: "its priority stays", IdleAct.SUSPEND: "it stays on the GPU"}
_DONE = {
    IdleAct.NOTIFY: "",
    IdleAct.LOWER: "; its priority is low until it is active again",
    IdleAct.SUSPEND: "; it is suspended until it is resumed",
}


class ActivitySample(Value):
    """One look at a share. `handed`: grows with the work that guards count; None: no guard counts.

    `busy`: NVML has seen its processes use the GPU since the last look; None: unknown.
    """

    handed: int | None = None
    waiting: bool = False
    busy: bool | None = None


def activity_sample(share_slots: Collection[ShareSlot], busy: bool | None) -> ActivitySample:
    """Counters that never grew may be those of a guard that does not count."""
    # `wanted_ns` grows while programs want the GPU under turns, also when no launch gets through.
    handed = sum(slot.launches + slot.wanted_ns for slot in share_slots)
    return ActivitySample(
        handed=handed if any(slot.launches for slot in share_slots) else None,
        waiting=any(slot.waiting for slot in share_slots),
        busy=busy,
    )


def was_active(before: ActivitySample, now: ActivitySample) -> bool | None:
    """Whether the share used its GPUs in between; None: unknown."""
    if now.handed != before.handed or now.waiting or now.busy:
        return True
    return None if now.handed is None and now.busy is None else False


def due_act(
    policy: IdlePolicy, share: Share, quiet: float, *, programs: bool, reported: bool
) -> IdleAct | None:
    """What is due for a share that has been idle for `quiet` seconds; None: nothing."""
    if policy.after is None or quiet < policy.after or reported:
        return None
    if not programs or (policy.act is IdleAct.LOWER and share.spec.priority is Priority.LOW):
        return IdleAct.NOTIFY
    return policy.act


def lowered(share: Share) -> bool:
    """Whether a policy has lowered its priority."""
    asked = share.asked.priority if share.asked else share.spec.priority
    return share.spec.priority is Priority.LOW and asked is not Priority.LOW


@dataclass
class _Watch:
    activity_sample: ActivitySample
    since: float
    at: datetime
    reported: bool = False


@dataclass(frozen=True)
class PolicyActs:
    """How a policy changes a share; `begin` runs a change that may take long in the background."""

    suspend: Callable[[Share, SuspendRequest], Awaitable[None]]
    update: Callable[[Share, UpdateRequest], Awaitable[None]]
    begin: Callable[[Coroutine[Any, Any, None]], object]


class Idle:
    """Called once a pass. A daemon that starts does not know how long shares were idle before."""

    def __init__(self, bus: Bus, clock: Clock, acts: PolicyActs) -> None:
        self._bus, self._clock, self._acts = bus, clock, acts
        self._watches: dict[ShareId, _Watch] = {}

    def since(self, share: ShareId) -> datetime | None:
        """Since when the share is idle; None: it is active, or that is unknown."""
        watch = self._watches.get(share)
        if watch is None or self._clock.elapsed() - watch.since < SHOWN:
            return None
        return watch.at

    async def run(
        self,
        policy: IdlePolicy,
        shares: Sequence[Share],
        samples: Mapping[ShareId, ActivitySample],
        programs: Collection[ShareId],
    ) -> None:
        """`shares` are on the GPU now; `programs`: those with a process."""
        self._watches = {s.id: self._watches[s.id] for s in shares if s.id in self._watches}
        for share in shares:
            watch = await self._look(share, samples[share.id])
            quiet = self._clock.elapsed() - watch.since
            here = share.id in programs
            act = due_act(policy, share, quiet, programs=here, reported=watch.reported)
            if act is None:
                continue
            watch.reported = True
            message = _message(samples[share.id], quiet, programs=here)
            # The pass does not wait for programs to leave the GPU.
            self._acts.begin(self._do(act, share, message))

    async def _look(self, share: Share, now: ActivitySample) -> _Watch:
        """Its watch starts again whenever it was active, or that is unknown."""
        watch = self._watches.get(share.id)
        has_worked = was_active(watch.activity_sample, now) if watch else None
        # Unknown is not idle: a share that nothing observes is never called idle (ADR 0026).
        if watch and has_worked is False:
            watch.activity_sample = now
            return watch
        begun = _Watch(now, self._clock.elapsed(), self._clock.now())
        self._watches[share.id] = begun
        if watch and has_worked:
            await self._active_again(share, reported=watch.reported)
        return begun

    async def _do(self, act: IdleAct, share: Share, message: str) -> None:
        """The event is published even if the act fails; a failed act is not repeated."""
        done = _DONE[act]
        try:
            if act is IdleAct.LOWER:
                await self._acts.update(share, UpdateRequest(priority=Priority.LOW))
            elif act is IdleAct.SUSPEND:
                await self._acts.suspend(share, SuspendRequest(timeout=PATIENCE))
        except GpushareError as error:
            done = f"; {_FAILED[act]}: {error}"
        self._bus.publish("share.idle", message + done, share=share.id)

    async def _active_again(self, share: Share, *, reported: bool) -> None:
        message = "it is active again"
        if lowered(share) and share.asked is not None:
            priority = share.asked.priority
            try:
                await self._acts.update(share, UpdateRequest(priority=priority))
            except GpushareError as error:
                message += f"; its priority stays low: {error}"
            else:
                message += f"; its priority is {priority} again"
        elif not reported:
            return
        self._bus.publish("share.active", message, share=share.id)


def _message(sample: ActivitySample, quiet: float, *, programs: bool) -> str:
    """What was not observed, and by which source."""
    minutes = f"{quiet / 60:.0f} min"
    if not programs:
        return f"it has no program, for {minutes}"
    if sample.handed is None:
        return f"idle for {minutes}: NVML saw none of its programs use the GPU"
    return f"idle for {minutes}: its programs gave the GPU nothing to do"
