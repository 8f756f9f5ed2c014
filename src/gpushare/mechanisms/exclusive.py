# SPDX-License-Identifier: Apache-2.0
"""The share has its GPUs alone: the scheduler puts no other share on them."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gpushare.hardware.ports import ComputeModes
from gpushare.model.edits import Edits
from gpushare.model.errors import GpuLostError, NoSuchGpuError
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Claim, Need, Promise, Use
from gpushare.model.share import Level, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.value import Value

from .mechanism import PassiveMechanism
from .visible_devices import HIDDEN, visible


class _Before(Value):
    """The compute mode a GPU had before a share changed it."""

    share: ShareId
    mode: ComputeMode


class Exclusive(PassiveMechanism):
    """`lock`: also set compute mode EXCLUSIVE_PROCESS (root); the driver then refuses others.

    That mode admits one process at a time, and many programs have several, so it is off by
    default. The previous mode is kept in `folder`/<GPU> until it is restored.
    """

    promise = Promise(
        mechanism=MechanismName.EXCLUSIVE,
        memory=Claim(but="A memory limit below the whole GPU is not held."),
        compute=Claim(but="A compute limit below the whole GPU is not held."),
        fault=Claim(
            level=Level.ENFORCED,
            but="GPUs joined by NVLink still share the faults of their links (Xid 74).",
        ),
        devices=HIDDEN,
        also=("Programs that do not go through gpushare can still use the GPU.",),
        alone=True,
        uses=(
            Use(need=Need.HARD, why="isolation hard needs a GPU alone"),
            Use(
                need=Need.WHOLE,
                why="no memory limit was requested, so the share gets a GPU alone",
            ),
        ),
    )

    def __init__(self, modes: ComputeModes, folder: Path, *, lock: bool = False) -> None:
        self._modes, self._folder, self._lock = modes, folder, lock

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        if self._lock:
            for grant in grants:
                self._close(grant.gpu, share.id)
        return visible(grants)

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        self.prepare(share, grants)
        for gpu in left:
            self._open(gpu, share.id)

    def release(self, share: Share) -> None:
        for gpu in share.decision.gpus if share.decision else ():
            self._open(gpu, share.id)

    def _open(self, gpu: GpuId, share: ShareId) -> None:
        note = self._folder / gpu
        if note.is_file():
            before = msgspec.json.decode(note.read_bytes(), type=_Before)
            # The note may be of a share that got the GPU since: its mode is not ours to restore.
            if before.share == share:
                with contextlib.suppress(GpuLostError, NoSuchGpuError):
                    self._modes.set_compute_mode(gpu, before.mode)
                note.unlink()

    def _close(self, gpu: GpuId, share: ShareId) -> None:
        """The note is written first, so that a change that was cut short can be undone."""
        note = self._folder / gpu
        # A note that is there already holds the mode from before the change; it must not be
        # overwritten with the changed one when an interrupted prepare is repeated.
        if not note.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            before = _Before(share=share, mode=self._modes.compute_mode(gpu))
            note.write_bytes(msgspec.json.encode(before))
        self._modes.set_compute_mode(gpu, ComputeMode.EXCLUSIVE_PROCESS)
