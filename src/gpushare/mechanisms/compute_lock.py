# SPDX-License-Identifier: Apache-2.0
"""Compute mode EXCLUSIVE_PROCESS on the GPUs of exclusive shares, and back.

Model: in that mode the driver admits one process at a time to a GPU, whatever its user. A lock is a
note in `folder`/<GPU> with the mode from before, and the mode itself. The driver forgets compute
modes at a reboot, and so does the runtime folder, which is on a tmpfs.

Invariants:
- The note is written before the mode is set, and removed after it is put back, so a daemon that is
  killed at any point leaves what its successor needs.
- A mode that another tool has set meanwhile is left as it is, when a share is prepared again and
  when it is released.
- A share changes only what it has locked itself.
"""

import contextlib
from pathlib import Path

import msgspec

from gpushare.hardware.ports import ComputeModes
from gpushare.model.errors import GpuLostError, NoSuchGpuError
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.value import Value

_LOCKED = ComputeMode.EXCLUSIVE_PROCESS


class _Note(Value):
    """The compute mode a GPU had before a share changed it. `done`: the change was made."""

    share: ShareId
    mode: ComputeMode
    done: bool = False


class ComputeLock:
    def __init__(self, modes: ComputeModes, folder: Path) -> None:
        self._modes, self._folder = modes, folder

    def close(self, gpu: GpuId, share: ShareId) -> None:
        """Idempotent. Raises DeniedError without root."""
        note = self._note(gpu)
        # A note of the share keeps the mode from before the change: an interrupted change is
        # repeated, a finished one is not, because the mode may be another tool's by now.
        if note is None or note.share != share:
            note = _Note(share=share, mode=note.mode if note else self._modes.compute_mode(gpu))
            self._write(gpu, note)
        if not note.done:
            self._modes.set_compute_mode(gpu, _LOCKED)
            self._write(gpu, msgspec.structs.replace(note, done=True))

    def open(self, gpu: GpuId, share: ShareId) -> None:
        """Put the mode back if the share has changed it and no other tool has since. Idempotent."""
        note = self._note(gpu)
        if note is None or note.share != share:
            return
        with contextlib.suppress(GpuLostError, NoSuchGpuError):
            if self._modes.compute_mode(gpu) is _LOCKED:
                self._modes.set_compute_mode(gpu, note.mode)
        self.path(gpu).unlink(missing_ok=True)

    def broken(self, gpu: GpuId, share: ShareId) -> str:
        """Why the lock of the share does not hold; "" if it holds, or if there is none."""
        note = self._note(gpu)
        if note is None or note.share != share or not note.done:
            return ""
        mode = self._modes.compute_mode(gpu)
        return "" if mode is _LOCKED else f"the compute mode of {gpu} was changed to {mode}"

    def holders(self) -> dict[GpuId, ShareId]:
        """Locked GPUs, and the share that each is locked for."""
        gpus = (GpuId(path.name) for path in sorted(self._folder.glob("*-*")))
        notes = ((gpu, self._note(gpu)) for gpu in gpus)
        return {gpu: note.share for gpu, note in notes if note is not None}

    def path(self, gpu: GpuId) -> Path:
        """The note about this GPU."""
        return self._folder / gpu

    def _note(self, gpu: GpuId) -> _Note | None:
        try:
            return msgspec.json.decode(self.path(gpu).read_bytes(), type=_Note)
        # A write that was cut short never replaced the file (`_write`), so a damaged note is not
        # ours; nothing was changed under it that could be put back.
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _write(self, gpu: GpuId, note: _Note) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f".{gpu}"
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(self.path(gpu))
