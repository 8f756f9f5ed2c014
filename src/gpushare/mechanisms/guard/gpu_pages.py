# SPDX-License-Identifier: Apache-2.0
"""Share slots on GPU pages: one page per GPU, one slot per share on it.

Every user with a share on the GPU can write the page, so its contents are untrusted: a share slot
that a share's own region names takes precedence over what the page says.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from gpushare.guard import GpuPage, GpuPageSnapshot, Rank, Reader, SharePolicy, ShareSlot
from gpushare.guard.layout import SHARE_SLOTS
from gpushare.mechanisms.shm_paths import open_to_pass
from gpushare.model.errors import GpuPageCorruptError, HardwareError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant, Priority
from gpushare.model.units import FULL

_TRIES = 4
_POINTS = 100  # basis points of a percent
_RANKS = {Priority.LOW: Rank.LOW, Priority.NORMAL: Rank.NORMAL, Priority.HIGH: Rank.HIGH}


Look = Callable[[ShareId, Sequence[GpuId]], dict[GpuId, ShareSlot]]


class GpuPages:
    """`folder` holds one GPU page per GPU, named by its UUID. Threads may share it."""

    def __init__(self, folder: Path, scheduling: SchedulingSettings) -> None:
        self.folder, self._scheduling = folder, scheduling
        self._lock = threading.Lock()
        self._readers: dict[GpuId, Reader[GpuPageSnapshot]] = {}

    def take(self, share: Share, grant: GpuGrant, slot: int | None) -> int:
        """Give the share its slot and write its policy there. `slot`: the slot it has already.

        Raises GpuPageCorruptError only where the page is damaged as often as it is made.
        """
        with self._lock:
            for _ in range(_TRIES - 1):
                # A user of the GPU can damage it between the look and the write.
                with contextlib.suppress(GpuPageCorruptError):
                    return self._take(share, grant, slot)
            return self._take(share, grant, slot)

    def _take(self, share: Share, grant: GpuGrant, slot: int | None) -> int:
        page = self._made(grant.gpu)
        # The region's number, not the page's word: other users can write the page.
        number = self._find(page, share.id) if slot is None else slot
        page.set_share(number, self._policy(share, grant))
        return number

    def leave(self, share: ShareId, gpus: Sequence[GpuId]) -> None:
        """Free the share's slots; a page that is missing or broken has none.

        A page without slots is removed: no program maps it any more.
        """
        with self._lock:
            for gpu in gpus:
                self._free(gpu, {share})
            with contextlib.suppress(OSError):
                # Fails as long as other GPUs have pages there.
                self.folder.rmdir()

    def shares(self) -> set[ShareId]:
        """All that have a slot."""
        return {slot.policy.share for gpu in self._gpus() for slot in self._slots(gpu)}

    def forget(self, shares: Collection[ShareId]) -> set[ShareId]:
        """Free the slots of shares that no longer exist; not those on which a process lives."""
        with self._lock:
            return {share for gpu in self._gpus() for share in self._free(gpu, shares, dead=True)}

    def _free(self, gpu: GpuId, shares: Collection[ShareId], *, dead: bool = False) -> set[ShareId]:
        slots = self._slots(gpu)
        leaving = [s for s in slots if s.policy.share in shares and not (dead and s.processes)]
        for slot in leaving:
            GpuPage(self.folder / gpu).set_share(slot.number, None)
        if len(leaving) == len(slots):
            (self.folder / gpu).unlink(missing_ok=True)
            self._readers.pop(gpu, None)
        return {slot.policy.share for slot in leaving}

    def _gpus(self) -> list[GpuId]:
        try:
            return [GpuId(path.name) for path in sorted(self.folder.iterdir())]
        except OSError:
            return []

    def looking(self) -> Look:
        """Gives the slots of shares, as far as pages can be read; each page is read once."""
        pages: dict[GpuId, dict[ShareId, ShareSlot]] = {}

        def look(share: ShareId, gpus: Sequence[GpuId]) -> dict[GpuId, ShareSlot]:
            for gpu in gpus:
                if gpu not in pages:
                    pages[gpu] = {slot.policy.share: slot for slot in self._slots(gpu)}
            return {gpu: pages[gpu][share] for gpu in gpus if share in pages[gpu]}

        return look

    def _made(self, gpu: GpuId) -> GpuPage:
        """Under a folder that cannot be listed; every user of the GPU can write the page."""
        page = GpuPage(self.folder / gpu)
        try:
            page.snapshot()
        except (FileNotFoundError, GpuPageCorruptError):
            open_to_pass(self.folder)
            page = GpuPage.create(self.folder / gpu, gpu)
        # After the creation, because the daemon's umask takes bits from the mode of a new file.
        # Programs of every user on the GPU map the page (ADR 0017).
        page.path.chmod(0o666)
        return page

    def _find(self, page: GpuPage, share: ShareId) -> int:
        """The slot that an interrupted prepare gave it, or the first free one."""
        taken = {slot.number: slot.policy.share for slot in page.snapshot().share_slots}
        had = (number for number, owner in taken.items() if owner == share)
        free = (number for number in range(SHARE_SLOTS) if number not in taken)
        number = next(had, next(free, None))
        if number is None:
            raise HardwareError(
                f"no share slot is left on {page.path.name}",
                f"{SHARE_SLOTS} shares have one already",
                "release some: gpushare ps",
            )
        return number

    def _reader(self, gpu: GpuId) -> Reader[GpuPageSnapshot]:
        if gpu not in self._readers:
            path = self.folder / gpu
            self._readers[gpu] = Reader(path, GpuPage(path).parse)
        return self._readers[gpu]

    def _slots(self, gpu: GpuId) -> tuple[ShareSlot, ...]:
        try:
            return self._reader(gpu).snapshot().share_slots
        except (OSError, GpuPageCorruptError):
            return ()

    def _policy(self, share: Share, grant: GpuGrant) -> SharePolicy:
        """A share without a compute limit gets what is left, and all of it when alone."""
        return SharePolicy(
            share=share.id,
            rank=_RANKS[share.spec.priority],
            limit=grant.compute * _POINTS,
            request=min(grant.compute_request, FULL) * _POINTS,
            **self._scheduling.on_page(share.spec.priority),
        )
