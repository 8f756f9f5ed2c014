# SPDX-License-Identifier: Apache-2.0
"""Shares that use no GPU time: noticed, told, and dealt with as the policy says.

Where a guard runs, it counts what programs hand to the GPU; NVML's samples of processes are asked
where nothing was handed over, for one launch can run for an hour, and where there is no guard.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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

SHOWN = 60.0  # seconds of quiet before it is worth showing
PATIENCE = Seconds(30)  # for one suspend: the pass waits for it
_FAILED = {IdleAct.LOWER: "its priority stays", IdleAct.SUSPEND: "it stays on the GPU"}
_DONE = {
    IdleAct.NOTIFY: "",
    IdleAct.LOWER: "; its priority is low until it works again",
    IdleAct.SUSPEND: "; it is suspended until somebody resumes it",
}


class ActivitySample(Value):
    """One look at a share. `handed`: grows with what its guards see it do; None: no guard counts.

    `busy`: NVML has seen its processes use the GPU since the look before; None: it does not tell.
    """

    handed: int | None = None
    waiting: bool = False
    busy: bool | None = None


def activity_sample(share_slots: Collection[ShareSlot], busy: bool | None) -> ActivitySample:
    """Counters that never moved may be those of a guard that does not count."""
    handed = sum(slot.launches + slot.wanted_ns for slot in share_slots)
    return ActivitySample(
        handed=handed if any(slot.launches for slot in share_slots) else None,
        waiting=any(slot.waiting for slot in share_slots),
        busy=busy,
    )


def was_active(before: ActivitySample, now: ActivitySample) -> bool | None:
    """Whether the share used its GPUs in between; None: nothing tells."""
    if now.handed != before.handed or now.waiting or now.busy:
        return True
    return None if now.handed is None and now.busy is None else False


def due_act(
    policy: IdlePolicy, share: Share, quiet: float, *, programs: bool, told: bool
) -> IdleAct | None:
    """What is due for a share that has been quiet for so many seconds; None: nothing."""
    if policy.after is None or quiet < policy.after or told:
        return None
    if not programs or (policy.act is IdleAct.LOWER and share.spec.priority is Priority.LOW):
        return IdleAct.NOTIFY
    return policy.act


def lowered(share: Share) -> bool:
    """Whether a policy has made its priority low."""
    asked = share.asked.priority if share.asked else share.spec.priority
    return share.spec.priority is Priority.LOW and asked is not Priority.LOW


@dataclass
class _Watch:
    activity_sample: ActivitySample
    since: float
    at: datetime
    told: bool = False


@dataclass(frozen=True)
class PolicyActs:
    """How a share is changed by itself: as the core does it."""

    suspend: Callable[[Share, SuspendRequest], Awaitable[None]]
    update: Callable[[Share, UpdateRequest], Awaitable[None]]


class Idle:
    """Called once a pass. A daemon that starts knows nothing of the quiet before it."""

    def __init__(self, bus: Bus, clock: Clock, acts: PolicyActs) -> None:
        self._bus, self._clock, self._acts = bus, clock, acts
        self._watches: dict[ShareId, _Watch] = {}

    def since(self, share: ShareId) -> datetime | None:
        """Since when the share is idle; None: it works, or nobody can tell."""
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
        moved = False  # a suspend holds up the pass, so there is one of them in each
        for share in shares:
            watch = await self._look(share, samples[share.id])
            quiet = self._clock.elapsed() - watch.since
            here = share.id in programs
            act = due_act(policy, share, quiet, programs=here, told=watch.told)
            if act is None or (act is IdleAct.SUSPEND and moved):
                continue
            watch.told, moved = True, moved or act is IdleAct.SUSPEND
            if await self._do(act, share, _words(samples[share.id], quiet, programs=here)):
                del self._watches[share.id]  # it is away; who comes back begins anew

    async def _look(self, share: Share, now: ActivitySample) -> _Watch:
        """Its watch begins anew whenever it has worked, or nothing tells whether it has."""
        watch = self._watches.get(share.id)
        has_worked = was_active(watch.activity_sample, now) if watch else None
        if watch and has_worked is False:
            watch.activity_sample = now
            return watch
        begun = _Watch(now, self._clock.elapsed(), self._clock.now())
        self._watches[share.id] = begun
        if watch and has_worked:
            await self._active_again(share, told=watch.told)
        return begun

    async def _do(self, act: IdleAct, share: Share, said: str) -> bool:
        """Whether the share is away now.

        Told whether or not it can be done; a share that cannot is not tried again and again.
        """
        done, away = _DONE[act], False
        try:
            if act is IdleAct.LOWER:
                await self._acts.update(share, UpdateRequest(priority=Priority.LOW))
            elif act is IdleAct.SUSPEND:
                await self._acts.suspend(share, SuspendRequest(timeout=PATIENCE))
                away = True
        except GpushareError as error:
            done = f"; {_FAILED[act]}: {error}"
        self._bus.publish("share.idle", said + done, share=share.id)
        return away

    async def _active_again(self, share: Share, *, told: bool) -> None:
        said = "it works again"
        if lowered(share) and share.asked is not None:
            priority = share.asked.priority
            try:
                await self._acts.update(share, UpdateRequest(priority=priority))
            except GpushareError as error:
                said += f"; its priority stays low: {error}"
            else:
                said += f"; its priority is {priority} again"
        elif not told:
            return
        self._bus.publish("share.active", said, share=share.id)


def _words(seen: ActivitySample, quiet: float, *, programs: bool) -> str:
    """What was not seen, and by whom."""
    minutes = f"{quiet / 60:.0f} min"
    if not programs:
        return f"it has no program, for {minutes}"
    if seen.handed is None:
        return f"idle for {minutes}: NVML saw none of its programs use the GPU"
    return f"idle for {minutes}: its programs gave the GPU nothing to do"
