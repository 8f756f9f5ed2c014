# SPDX-License-Identifier: Apache-2.0
"""Seats of shares on the boards of their GPUs.

A board is writable for every user who has a share on the GPU: what stands on it is hearsay, and a
share whose region says which seat it has is believed before the board is.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from gpushare.guard import GpuPage, Rank, SharePolicy, ShareSlot
from gpushare.guard.layout import SHARE_SLOTS
from gpushare.model.errors import BoardCorruptError, HardwareError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant, Priority
from gpushare.model.units import FULL

_POINTS = 100  # basis points of a percent
_RANKS = {Priority.LOW: Rank.LOW, Priority.NORMAL: Rank.NORMAL, Priority.HIGH: Rank.HIGH}


class GpuPages:
    """`folder` holds one board per GPU, named by its UUID."""

    def __init__(self, folder: Path, scheduling: SchedulingSettings) -> None:
        self.folder, self._scheduling = folder, scheduling

    def take(self, share: Share, grant: GpuGrant, known: int | None) -> int:
        """Give the share its seat and say what holds there. `known`: the seat it has already."""
        board = self._made(grant.gpu)
        number = self._find(board, share.id) if known is None else known
        board.set_share(number, self._policy(share, grant))
        return number

    def leave(self, share: ShareId, gpus: Sequence[GpuId]) -> None:
        """Free the share's seats; a board that is gone or broken has none.

        A board without seats goes too: no program has it mapped any more.
        """
        for gpu in gpus:
            seats = self._seats(gpu)
            for seat in seats:
                if seat.policy.share == share:
                    GpuPage(self.folder / gpu).set_share(seat.number, None)
            if all(seat.policy.share == share for seat in seats):
                (self.folder / gpu).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def look(self, share: ShareId, gpus: Sequence[GpuId]) -> dict[GpuId, ShareSlot]:
        """The share's seats, as far as boards can be read."""
        return {
            gpu: seat for gpu in gpus for seat in self._seats(gpu) if seat.policy.share == share
        }

    def _made(self, gpu: GpuId) -> GpuPage:
        """Under a folder that cannot be listed; every user of the GPU may write the board."""
        board = GpuPage(self.folder / gpu)
        try:
            board.snapshot()
        except (FileNotFoundError, BoardCorruptError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
            board = GpuPage.create(self.folder / gpu, gpu)
        board.path.chmod(0o666)
        return board

    def _find(self, board: GpuPage, share: ShareId) -> int:
        """The seat a prepare that was cut short has given it, or the first free one."""
        taken = {seat.number: seat.policy.share for seat in board.snapshot().share_slots}
        had = (number for number, owner in taken.items() if owner == share)
        free = (number for number in range(SHARE_SLOTS) if number not in taken)
        number = next(had, next(free, None))
        if number is None:
            raise HardwareError(
                f"no share slot is left on {board.path.name}",
                f"{SHARE_SLOTS} shares have one already",
                "release some: gpushare ps",
            )
        return number

    def _seats(self, gpu: GpuId) -> tuple[ShareSlot, ...]:
        try:
            return GpuPage(self.folder / gpu).snapshot().share_slots
        except (OSError, BoardCorruptError):
            return ()

    def _policy(self, share: Share, grant: GpuGrant) -> SharePolicy:
        """A share that asks for nothing is to get what is left, and all of it when alone."""
        return SharePolicy(
            share=share.id,
            rank=_RANKS[share.spec.priority],
            limit=grant.compute * _POINTS,
            request=min(grant.compute_request, FULL) * _POINTS,
            **self._scheduling.on_page(share.spec.priority),
        )
