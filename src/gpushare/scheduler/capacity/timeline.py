# SPDX-License-Identifier: Apache-2.0
"""Which shares are on which GPU at what time: shares until they end, and places kept free."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property

from msgspec.structs import replace

from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.policy.tenant import Visibility
from gpushare.model.share import Share
from gpushare.model.spec import ShareSpec
from gpushare.model.value import Value
from gpushare.scheduler.request.state import Request, Snapshot

from .room import Room, knows, room_of

_DAWN = datetime(1970, 1, 1, tzinfo=UTC)  # now, where the time is not given
_SOON = timedelta(microseconds=1)  # until an expired share ends


class Stay(Value):
    """A share on the GPUs of its decision.

    `begins` None: it is there. `ends` None: unknown. `kept`: only its place is kept. `ahead`: the
    place of the first waiting share, which no other may delay.
    """

    share: Share
    begins: datetime | None = None
    ends: datetime | None = None
    kept: bool = False
    ahead: bool = False

    def at(self, moment: datetime) -> bool:
        """Whether the share has its place at that time; the end is excluded."""
        begun = self.begins is None or self.begins <= moment
        return begun and (self.ends is None or moment < self.ends)


class Window(Value):
    """From one time to another; `end` None: without end."""

    start: datetime
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether the time is later than the start and before the end."""
        return self.start < moment and (self.end is None or moment < self.end)


class Calendar:
    """The stays of a machine. Between two begins there is only ever more room."""

    def __init__(
        self,
        state: Snapshot,
        stays: Mapping[GpuId, Sequence[Stay]],
        rooms: Mapping[tuple[GpuId, datetime], Room] | None = None,
    ) -> None:
        self.state, self.start = state, now(state)
        self._stays, self._rooms = stays, dict(rooms or {})

    def joined(self, stays: Iterable[Stay]) -> "Calendar":
        """The calendar with more stays."""
        return self._changed(_by_gpu(self._stays, stays))

    @cached_property
    def bare(self) -> "Calendar":
        """The calendar without the places that are only kept."""
        return self._only(lambda stay: not stay.kept)

    @cached_property
    def real(self) -> "Calendar":
        """The calendar without the place kept for the first in the queue."""
        return self._only(lambda stay: not stay.ahead)

    def without(self, share: ShareId) -> "Calendar":
        """The calendar without one share: what is there for it to have."""
        return self._only(lambda stay: stay.share.id != share)

    def _only(self, keep: Callable[[Stay], bool]) -> "Calendar":
        everywhere = self._stays.items()
        return self._changed({uuid: list(filter(keep, here)) for uuid, here in everywhere})

    def _changed(self, stays: Mapping[GpuId, Sequence[Stay]]) -> "Calendar":
        """What has been looked at and is not changed needs no second look."""
        same = {uuid for uuid, here in stays.items() if len(here) == len(self._stays[uuid])}
        if len(same) == len(stays):
            return self
        rooms = {key: room for key, room in self._rooms.items() if key[0] in same}
        return Calendar(self.state, stays, rooms)

    def room(self, gpu: Gpu, moment: datetime) -> Room:
        """The GPU at a time, now or later."""
        key = gpu.uuid, moment
        # Each GPU is looked at once per moment: a decision asks for the same rooms again and again.
        if key not in self._rooms:
            here = [stay.share for stay in self._stays[gpu.uuid] if stay.at(moment)]
            self._rooms[key] = room_of(self.state, gpu, here)
        return self._rooms[key]

    def moments(self, gpu: Gpu, window: Window) -> list[datetime]:
        """When the GPU may have less room than before, within the window."""
        begins = {stay.begins for stay in self._stays[gpu.uuid] if stay.begins is not None}
        return [window.start, *sorted(moment for moment in begins if window.holds(moment))]

    def kept(self, gpu: Gpu, moment: datetime) -> list[Stay]:
        """Places that are kept there at that time, first those that are kept from earliest."""
        here = [stay for stay in self._stays[gpu.uuid] if stay.kept and stay.at(moment)]
        return sorted(here, key=lambda s: (s.begins or self.start, s.ahead, s.share.id))

    def keeps(self, gpu: Gpu, *, ahead: bool = False) -> bool:
        """Whether a place is kept there now or later; `ahead`: for the first in the queue."""
        return any(stay.kept and (stay.ahead or not ahead) for stay in self._stays[gpu.uuid])

    def ends(self, after: datetime) -> list[datetime]:
        """When something ends, later than `after`."""
        ends = {stay.ends for here in self._stays.values() for stay in here}
        return sorted(end for end in ends if end is not None and end > after)

    def until(self, spec: ShareSpec, start: datetime) -> Window:
        """How long a share that begins then will need its place."""
        if spec.at is not None and spec.ttl is not None:
            # A reservation ends at its time even if it begins late: others may have booked what
            # follows.
            return Window(start=start, end=max(start, spec.at + timedelta(seconds=spec.ttl)))
        bounded = spec.ttl is not None and self.state.now is not None
        end = start + timedelta(seconds=spec.ttl or 0) if bounded else None
        return Window(start=start, end=end)


def timeline(state: Snapshot, without: ShareId | None = None) -> Calendar:
    """Shares and reservations; `without` one that is asked about, and so not in its own way."""
    present = {share.id for share in state.shares} if state.booked else set()
    to_come = (share for share in state.booked if share.id not in {*present, without})
    stays = [_present(share, now(state)) for share in state.shares]
    nothing: dict[GpuId, list[Stay]] = {gpu.uuid: [] for gpu in state.machine.gpus}
    return Calendar(state, _by_gpu(nothing, [*stays, *map(_booked, to_come)]))


def now(state: Snapshot) -> datetime:
    """The time of the snapshot; without one, a fixed time."""
    return state.now or _DAWN


def _by_gpu(
    before: Mapping[GpuId, Sequence[Stay]], stays: Iterable[Stay]
) -> dict[GpuId, list[Stay]]:
    by_gpu = {uuid: list(here) for uuid, here in before.items()}
    for stay in stays:
        for uuid in stay.share.decision.gpus if stay.share.decision else ():
            if uuid in by_gpu:
                by_gpu[uuid].append(stay)
    return by_gpu


def _present(share: Share, moment: datetime) -> Stay:
    over = share.expires is not None and share.expires <= moment
    return Stay(share=share, ends=moment + _SOON if over else share.expires)


def _booked(share: Share) -> Stay:
    """What a reservation keeps: nothing before it has a place and a time."""
    spec = share.spec
    if spec.at is None or spec.ttl is None:
        return Stay(share=share, kept=True)
    end = spec.at + timedelta(seconds=spec.ttl)
    return Stay(share=replace(share, decision=share.booking), begins=spec.at, ends=end, kept=True)


def clock(moment: datetime, now: datetime | None) -> str:
    """A time for people, with its zone; the day too unless it is today."""
    day = "" if now is not None and moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M} {moment.tzname() or ''}".strip()


def describe_kept(of: Calendar, stay: Stay, asker: Request) -> str:
    """For which share a place is kept, and from when."""
    if stay.ahead:
        share_name = "the share ahead of it"
    elif of.state.policy.visibility is Visibility.SHARES or knows(asker, stay.share):
        share_name = stay.share.name
    else:
        share_name = "a reservation of others"
    since = "" if stay.begins is None else f" from {clock(stay.begins, of.state.now)}"
    return f"kept free{since} for {share_name}"
