# SPDX-License-Identifier: Apache-2.0
"""The share has its GPUs alone: the scheduler puts no other share on them.

Programs outside shares do not ask the scheduler. Only the lock (`compute_lock`) keeps them out, so
what a share of whole GPUs is promised depends on it.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Claim, Need, Promise, Use
from gpushare.model.share import Level, ProofCheck, Share
from gpushare.model.spec import GpuGrant, MechanismName

from .compute_lock import ComputeLock
from .mechanism import PassiveMechanism
from .visible_devices import HIDDEN, visible

_OPEN = Claim(
    level=Level.COOPERATIVE,
    but="Programs outside shares can still use the GPU; exclusive_compute_mode keeps them out.",
)
_LOCKED = Claim(level=Level.ENFORCED)
_ONE_PROGRAM = (
    "The GPU admits one process at a time: a second program of the share is refused, and between "
    "its programs a program outside the share can take the GPU first."
)


class Exclusive(PassiveMechanism):
    """`lock`: also set compute mode EXCLUSIVE_PROCESS (root), so that the driver refuses others.

    That mode admits one process at a time, and many programs have several, so it is off by
    default. `unlockable`: why the mode cannot be set here; "" if it can.
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
        alone=True,
        card=_OPEN,
        uses=(
            Use(need=Need.HARD, why="isolation hard needs a GPU alone"),
            Use(
                need=Need.WHOLE,
                why="no memory limit was requested, so the share gets a GPU alone",
            ),
        ),
    )

    def __init__(self, modes: ComputeLock, *, lock: bool = False, unlockable: str = "") -> None:
        self._modes, self._lock, self._unlockable = modes, lock, unlockable
        if lock:
            self.promise = replace(
                Exclusive.promise, card=_LOCKED, also=(_ONE_PROGRAM,), one_process=True
            )

    def unavailable(self, gpus: Sequence[Gpu]) -> str:  # noqa: ARG002
        return self._unlockable if self._lock else ""

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        if self._lock:
            for grant in grants:
                self._modes.close(grant.gpu, share.id)
        return visible(grants)

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        self.prepare(share, grants)
        for gpu in left:
            self._modes.open(gpu, share.id)

    def prove(self, share: Share, grants: Sequence[GpuGrant]) -> Sequence[ProofCheck]:
        if not self.promise.one_process:
            return ()
        broken = [self._modes.broken(grant.gpu, share.id) for grant in grants]
        because = "; ".join(filter(None, broken))
        return (ProofCheck(name="compute mode", ok=not because, evidence=because),)

    def release(self, share: Share) -> None:
        """Also without the setting, which may have been on when the share was granted."""
        for gpu in share.decision.gpus if share.decision else ():
            self._modes.open(gpu, share.id)
