# SPDX-License-Identifier: Apache-2.0
"""How fast programs are alone and next to each other, as their share slots count it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from gpushare.daemon.observe.observer import Observer
from gpushare.guard import Rank, ShareSlot
from gpushare.guard.gpu_page import FULL_COMPUTE
from gpushare.guard.memo import Memo
from gpushare.hardware.ports import Clock
from gpushare.model.errors import NoSuchShareError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.profile import Profile
from gpushare.model.share import Share
from gpushare.model.units import Bytes
from gpushare.model.value import Value
from gpushare.store import Store

LONGEST = 30.0  # seconds between two looks; over a longer pause it is unknown what happened


class ShareOnGpu(Value):
    """A share on one GPU. `launches`: so far; None: nothing counts them.

    `paced`: a limit or several GPUs set its pace, so it does not depend on its neighbours.
    """

    share: ShareId
    program: str
    launches: int | None
    rank: Rank = Rank.NORMAL
    paced: bool = False


def compare(
    before: Sequence[ShareOnGpu], now: Sequence[ShareOnGpu], seconds: float
) -> Iterator[Profile]:
    """What two looks at all shares on one GPU show: which worked alone, or with one other.

    A share whose neighbour has a higher priority is slow on purpose; placement cannot help it.
    """
    if before == now:
        return
    launches_before = {look.share: look.launches for look in before}
    worked: list[tuple[ShareOnGpu, int]] = []
    for look in now:
        since = launches_before.get(look.share)
        if since is None or look.launches is None or look.launches < since:
            # Without a count for every share on the GPU it is unknown which of them worked alone.
            return
        if look.launches > since:
            worked.append((look, look.launches - since))
    for look, work in worked:
        others = [other for other, _ in worked if other is not look]
        # With two or more neighbours it is unknown which of them slows it down.
        if len(others) <= 1 and _tells(look, others):
            beside = others[0].program if others else ""
            yield Profile(program=look.program, beside=beside, seconds=seconds, work=work)


def _tells(look: ShareOnGpu, others: Sequence[ShareOnGpu]) -> bool:
    named = all(share.program for share in (look, *others))
    return named and not look.paced and all(other.rank <= look.rank for other in others)


class Profiler:
    """Called once a pass. A run that ended while no daemon ran is not counted."""

    def __init__(self, store: Store, observer: Observer, clock: Clock) -> None:
        self._store, self._observer, self._clock = store, observer, clock
        self._looks: Mapping[GpuId, Sequence[ShareOnGpu]] = {}
        self._version: object = None  # of what the newest looks were made
        self._known: Memo[tuple[ShareId, GpuId], ShareOnGpu] = Memo()
        self._at = 0.0
        self._peaks: dict[ShareId, Bytes | None] = {}

    def run(self, gpus: Mapping[GpuId, bool]) -> None:
        """`gpus`: all of them, and whether programs outside any share are on each."""
        holding = [share for share in self._store.shares.living() if share.state.holds]
        now = self._clock.elapsed()
        version = self._store.generation, self._observer.generation, gpus
        if version == self._version:
            # Nothing was launched, and nothing has ended.
            self._at = now
            return
        self._version = version
        looks = self._look([gpu for gpu, foreign in gpus.items() if not foreign], holding)
        if 0 < (seconds := now - self._at) <= LONGEST:
            self._keep(looks, seconds)
        self._looks, self._at = looks, now
        self._notice_ends(holding)

    def _keep(self, looks: Mapping[GpuId, Sequence[ShareOnGpu]], seconds: float) -> None:
        profiles = [
            profile
            for gpu, present in looks.items()
            for profile in compare(self._looks.get(gpu, ()), present, seconds)
        ]
        if profiles:
            self._store.profiles.add(profiles, self._clock.now())

    def _look(
        self, gpus: Sequence[GpuId], holding: Sequence[Share]
    ) -> dict[GpuId, list[ShareOnGpu]]:
        looks: dict[GpuId, list[ShareOnGpu]] = {gpu: [] for gpu in gpus}
        for share in holding:
            if share.decision and share.suspension is None:
                slots = self._observer.last(share.id).share_slots
                for gpu in share.decision.gpus:
                    if gpu in looks:
                        looks[gpu].append(self._look_on(gpu, share, slots.get(gpu)))
        self._known.keep({(look.share, gpu) for gpu, there in looks.items() for look in there})
        return looks

    def _look_on(self, gpu: GpuId, share: Share, slot: ShareSlot | None) -> ShareOnGpu:
        inputs = share.program, share.decision, share.spec, slot
        return self._known.of((share.id, gpu), inputs, lambda: _look(share, slot))

    def _notice_ends(self, holding: Sequence[Share]) -> None:
        for gone in self._peaks.keys() - {share.id for share in holding}:
            peak = self._peaks.pop(gone)
            # Ended shares are kept for a limited number only; the run of a forgotten one is not
            # counted.
            with suppress(NoSuchShareError):
                self._notice_end(self._store.shares.get(gone), peak)
        for share in holding:
            peaks = self._observer.last(share.id).peak
            self._peaks[share.id] = Bytes(sum(peaks.values())) if peaks else None

    def _notice_end(self, share: Share, peak: Bytes | None) -> None:
        if share.program and share.started and share.ended:
            seconds = max(0.0, (share.ended - share.started).total_seconds())
            self._store.profiles.ended(share.program, seconds, peak, share.ended)


def _look(share: Share, slot: ShareSlot | None) -> ShareOnGpu:
    several = share.decision is not None and len(share.decision.grants) > 1
    if slot is None:
        return ShareOnGpu(share=share.id, program=share.program, launches=None)
    return ShareOnGpu(
        share=share.id,
        program=share.program,
        launches=slot.launches,
        rank=slot.policy.rank,
        paced=several or share.spec.turns or slot.policy.limit < FULL_COMPUTE,
    )
