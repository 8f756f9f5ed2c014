# SPDX-License-Identifier: Apache-2.0
"""Memory limits that follow what programs need, as the policy allows. The deciding part is pure.

A limit grows into memory that is guaranteed to no other share. A request (what is guaranteed)
shrinks to the observed need, and grows back to what the owner asked for when the need returns.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.hardware.ports import Clock
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import GpushareError, UnsupportedError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.policy.tenant import SizingPolicy
from gpushare.model.share import Share
from gpushare.model.spec import MemoryAsk
from gpushare.model.units import MIB, Bytes, format_bytes
from gpushare.model.value import Value
from gpushare.model.view import UpdateRequest
from gpushare.scheduler import Snapshot
from gpushare.scheduler.capacity.room import grant_on, rooms

PAUSE = 20.0  # seconds between two changes of a share: what a change does must be seen first
LEAST = Bytes(256 * MIB)  # no request shrinks below this
_WORTH = 64 * MIB  # no smaller change is made
_BUCKETS = 16


class MemoryNeed(Value):
    """What a share has on each of its GPUs and what it was asked to have, in bytes.

    `used`: on the GPU where it is most; `kept`: of that, freed and only kept. `peak`: the most over
    the policy's watch; None: not watched for as long. `denied`: refused memory since the last look.
    """

    limit: Bytes
    request: Bytes
    asked_limit: Bytes
    asked_request: Bytes
    used: Bytes
    kept: Bytes = Bytes(0)
    peak: Bytes | None = None
    denied: bool = False


class SizeChange(Value):
    memory: MemoryAsk
    why: str


def size_change(
    policy: SizingPolicy, share: Share, need: MemoryNeed, room: Bytes
) -> SizeChange | None:
    """The change of a share with programs, if any is due.

    `room`: what it may hold on each GPU without touching what is guaranteed to, or in use by,
    others. A share that does not borrow is never shrunk: its owner wants a fixed guarantee.
    """
    change = None
    if policy.grow:
        change = _grow(policy, need, room) or _return(need, room)
    if change is None and policy.shrink and share.spec.borrow and not share.spec.turns:
        change = _shrink(policy, need) or _regain(need, room)
    return change


def _grow(policy: SizingPolicy, need: MemoryNeed, room: Bytes) -> SizeChange | None:
    # What is only kept counts as free: the guard gives it up when a program needs it (ADR 0018).
    near = (need.used - need.kept) * 100 >= need.limit * 95
    most = min(int(need.asked_limit * policy.grow_to), room)
    limit = min(need.limit + need.limit // 4, most) // MIB * MIB
    if not (near or need.denied) or limit < need.limit + _WORTH:
        return None
    because = "it was refused memory" if need.denied else "it is near its limit"
    return _change(limit, need.request, f"limit up to {format_bytes(limit)}: {because}")


def _return(need: MemoryNeed, room: Bytes) -> SizeChange | None:
    """Others need the memory that it grew into and that is guaranteed to them."""
    limit = max(need.asked_limit, need.request, need.used, min(need.limit, room))
    if limit > need.limit - _WORTH:
        return None
    why = f"limit back to {format_bytes(limit)}: the rest is guaranteed to others now"
    return _change(limit, need.request, why)


def _shrink(policy: SizingPolicy, need: MemoryNeed) -> SizeChange | None:
    if need.peak is None:
        return None
    request = max(LEAST, _and_a_tenth(max(need.peak, need.used)))
    if request > need.request - max(_WORTH, need.request // 10):
        return None
    peak = format_bytes(need.peak)
    why = f"{format_bytes(request)} guaranteed: it used {peak} at most in {policy.watch // 60} min"
    return _change(need.limit, request, why)


def _regain(need: MemoryNeed, room: Bytes) -> SizeChange | None:
    request = min(need.asked_request, need.limit, room, _and_a_tenth(need.used))
    if need.used <= need.request or request < need.request + _WORTH:
        return None
    why = f"{format_bytes(request)} guaranteed again: it uses {format_bytes(need.used)}"
    return _change(need.limit, request, why)


def _and_a_tenth(value: int) -> int:
    """In whole MiB."""
    return -(-value * 11 // 10 // MIB) * MIB


def _change(limit: int, request: int, why: str) -> SizeChange:
    return SizeChange(memory=MemoryAsk(limit=Bytes(limit), request=Bytes(request)), why=why)


def free_for(state: Snapshot, share: Share, used: Mapping[ShareId, Mapping[GpuId, Bytes]]) -> Bytes:
    """What the share may hold on each of its GPUs: memory that others neither use nor are
    guaranteed.
    """
    others = tuple(other for other in state.shares if other.id != share.id)
    own = share.decision.gpus if share.decision else ()
    free = []
    for room in rooms(replace(state, shares=others)):
        gpu = room.gpu.uuid
        if gpu in own:
            beyond = sum(_beyond(other, gpu, used.get(other.id, {})) for other in room.shares)
            booked = sum(_booked(other, gpu) for other in state.booked)
            free.append(room.free(turns=share.spec.turns) - beyond - booked)
    return Bytes(max(0, min(free, default=0)))


def _beyond(other: Share, gpu: GpuId, used: Mapping[GpuId, Bytes]) -> int:
    """What it uses there that is not guaranteed to it."""
    grants = other.decision.grants if other.decision else ()
    return max(0, used.get(gpu, 0) - sum(grant.request for grant in grants if grant.gpu == gpu))


def _booked(other: Share, gpu: GpuId) -> int:
    grants = other.booking.grants if other.booking else ()
    return sum(grant.request for grant in grants if grant.gpu == gpu)


class MemoryHistory:
    """The most that one share used recently, in a bounded number of buckets."""

    def __init__(self, at: float, observed: Observation) -> None:
        self.begun = self.free_at = at
        self._most: deque[tuple[int, int]] = deque(maxlen=_BUCKETS + 1)
        self._peak, self._denied = _most(observed.peak), observed.denied

    def note(self, at: float, watch: float, observed: Observation) -> bool:
        """Whether memory was refused since the last look. A spike in between counts."""
        peak, before = _most(observed.peak), self._peak
        # The region keeps the peak since the share began. Only a peak that has grown since the last
        # look is news; an old one would keep the request large permanently.
        level = max(_most(observed.used), peak if peak > before else 0)
        bucket = int(at * _BUCKETS / watch)
        if self._most and self._most[-1][0] == bucket:
            level = max(level, self._most.pop()[1])
        self._most.append((bucket, level))
        denied = (observed.denied or 0) > (self._denied or 0)
        self._peak, self._denied = peak, observed.denied
        return denied

    def peak(self, at: float, watch: float) -> Bytes | None:
        """The most within `watch` seconds; None while the share is not watched for as long."""
        if at - self.begun < watch:
            return None
        return Bytes(max(level for _, level in self._most))


class Autosize:
    """Called once a pass. `update` changes a share on behalf of the policy."""

    def __init__(
        self, bus: Bus, clock: Clock, update: Callable[[Share, UpdateRequest], Awaitable[None]]
    ) -> None:
        self._bus, self._clock, self._update = bus, clock, update
        self._histories: dict[ShareId, MemoryHistory] = {}
        self._unable: set[ShareId] = set()

    async def run(
        self,
        policy: SizingPolicy,
        shares: Sequence[Share],
        observed: Mapping[ShareId, Observation],
        take: Callable[[], Snapshot],
    ) -> None:
        """`shares`: those with programs on the GPU. `take`: a new snapshot, after each change."""
        living = {share.id for share in shares}
        self._histories = {
            share: history for share, history in self._histories.items() if share in living
        }
        self._unable &= living
        if not (policy.grow or policy.shrink):
            self._histories.clear()
        elif shares:
            state = take()
            for share in shares:
                if await self._size(policy, share, observed, state):
                    state = take()

    async def _size(
        self,
        policy: SizingPolicy,
        share: Share,
        observed: Mapping[ShareId, Observation],
        state: Snapshot,
    ) -> bool:
        """Whether the share was changed."""
        need = self._note(policy, share, observed[share.id], state)
        if need is None:
            return False
        used = {other: observation.used for other, observation in observed.items()}
        change = size_change(policy, share, need, free_for(state, share, used))
        return change is not None and await self._make(share, change)

    def _note(
        self, policy: SizingPolicy, share: Share, observed: Observation, state: Snapshot
    ) -> MemoryNeed | None:
        """None: too little is known of it yet, or it was changed a moment ago."""
        at = self._clock.elapsed()
        history = self._histories.setdefault(share.id, MemoryHistory(at, observed))
        denied = history.note(at, policy.watch, observed)
        if share.id in self._unable or at < history.free_at:
            return None
        return memory_need(share, observed, state, history.peak(at, policy.watch), denied=denied)

    async def _make(self, share: Share, change: SizeChange) -> bool:
        try:
            await self._update(share, UpdateRequest(memory=change.memory))
        except UnsupportedError as error:
            # Its mechanisms will refuse the next change as well, so it is asked and reported once.
            self._unable.add(share.id)
            self._bus.publish("share.resize_failed", str(error), share=share.id)
            return False
        except GpushareError:  # others took the room, or another operation on it is in progress
            return False
        self._histories[share.id].free_at = self._clock.elapsed() + PAUSE
        self._bus.publish("share.resized", change.why, share=share.id)
        return True


def memory_need(
    share: Share, observed: Observation, state: Snapshot, peak: Bytes | None, *, denied: bool
) -> MemoryNeed | None:
    """None: its memory is not counted, or its GPUs differ."""
    grants = share.decision.grants if share.decision else ()
    gpus = [gpu for gpu in state.machine.gpus if gpu.uuid in {grant.gpu for grant in grants}]
    if (
        not observed.used
        or len({(grant.limit, grant.request) for grant in grants}) != 1
        or not gpus
    ):
        return None
    asked = [grant_on(gpu, share.asked or share.spec) for gpu in gpus]
    used = _most(observed.used)
    return MemoryNeed(
        limit=grants[0].limit,
        request=grants[0].request,
        asked_limit=min(grant.limit for grant in asked),
        asked_request=min(grant.request for grant in asked),
        used=used,
        kept=Bytes((observed.cached or 0) * used // max(1, sum(observed.used.values()))),
        peak=peak,
        denied=denied,
    )


def _most(by_gpu: Mapping[GpuId, Bytes]) -> Bytes:
    return max(by_gpu.values(), default=Bytes(0))
