# SPDX-License-Identifier: Apache-2.0
"""The guard as a mechanism: the preloaded library counts the share's memory, limits its compute and
moves its memory off the GPU.

Model: programs of the share are started with `libgpushare.so` preloaded and three files to map. The
*region* of the share holds its limits and what its processes are charged; the daemon writes limits
and suspend requests there, programs write charges and answers. The *GPU page* of each GPU holds one
*share slot* per share with its rank and compute limit; programs on that GPU schedule themselves
there. The *host pool* of the user holds memory of suspended programs.

Invariants:
- The daemon never takes a region's lock: the file belongs to its user, who could choose what a
  robust mutex points to. So charges of dead processes are left out when the daemon reads, and swept
  by the share's own processes.
- A region appears under its name only when complete, and owned by the share's user.
- A region that exists is kept by `prepare`: programs may be counted in it.
- All files are untrusted input: what cannot be read is reported as a fault of the share.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path

from gpushare.guard import (
    Reader,
    Region,
    RegionGrant,
    RegionSnapshot,
    library_path,
)
from gpushare.guard.layout import SHARE_SLOTS
from gpushare.guard.memo import Memo
from gpushare.hardware.ports import Processes
from gpushare.mechanisms.mechanism import Observation, Observe, PassiveMechanism, Rival
from gpushare.mechanisms.shm_paths import open_to_pass
from gpushare.model.edits import Edits
from gpushare.model.errors import GuardMissingError, HardwareError, RegionCorruptError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Claim, Need, Promise, Use
from gpushare.model.share import Level, ProofCheck, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import Bytes, format_bytes

from .gpu_pages import GpuPages, Look
from .living import LivingSlots
from .observation import host_wanted, observation
from .preload import preload_path
from .rival import rival
from .swap_pools import SwapPools

HostLeft = Callable[[int], Bytes]  # what a user's programs can still take of the host
_MODE = 0o600  # of a region: no other user may read or write it
_FORMER = "its region is of an earlier gpushare"
_MOST = 2**63 - 1  # of a counter: the tenant can write any number, and JSON ends there


class Guard(PassiveMechanism):
    """`folder`: where regions live. `context`: bytes one CUDA context costs on a GPU.

    `pools`: host memory for what leaves the GPU.
    """

    promise = Promise(
        mechanism=MechanismName.GUARD,
        memory=Claim(
            level=Level.COOPERATIVE,
            but="A program written for that purpose can escape the memory limit: by clearing "
            "LD_PRELOAD, by being linked statically, or by talking to the driver's device files "
            "itself.",
        ),
        compute=Claim(
            level=Level.COOPERATIVE,
            but="The compute limit is held by turns, measured in GPU time; a program that drops "
            "the preload escapes it, and one launch runs to its end.",
        ),
        layer=True,
        max_shares=SHARE_SLOTS,
        uses=(
            Use(
                need=Need.MEMORY,
                rank=1,
                why="the guard limits memory, because the driver does not: {missing}",
            ),
            Use(
                need=Need.TURNS,
                why="it moves memory off the GPU while others have their turn",
            ),
            Use(
                need=Need.COMPUTE,
                why="it holds the compute limit of {compute} % by turns in GPU time",
            ),
            Use(need=Need.PRIORITY, why="it keeps priority {priority}"),
        ),
        in_gpu_time=True,
        adjusts=("memory", "compute", "priority"),
        moves_memory=True,
        preloaded=True,
    )

    def __init__(
        self,
        folder: Path,
        context: Callable[[GpuId], Bytes],
        processes: Processes,
        *,
        gpu_pages: GpuPages,
        pools: SwapPools,
    ) -> None:
        self._folder, self._context = folder, context
        self._living = LivingSlots(processes)
        self._gpu_pages, self._pools = gpu_pages, pools
        self._readers: dict[ShareId, Reader[RegionSnapshot]] = {}
        self._observed: Memo[ShareId, Observation] = Memo()

    def unavailable(self, gpus: Sequence[Gpu]) -> str:  # noqa: ARG002
        try:
            library_path()
        except GuardMissingError as error:
            return str(error)
        return ""

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        """A region that exists is kept: programs of the share may be counted in it."""
        library, path = library_path(), self._path(share)
        if path.exists():
            self.adjust(share, grants)
        else:
            self._create(path, share, grants)
        env = {
            "GPUSHARE_REGION": str(path),
            "GPUSHARE_SHARE": share.id,
            "GPUSHARE_BOARDS": str(self._gpu_pages.folder),
        }
        # Only now: the new region counts in what the user's shares may have to move.
        former = self._former(share.uid)
        if pool := self._pools.open(share.uid, share.gid, self._movable(share.uid), former=former):
            env["GPUSHARE_SWAP"] = str(pool)
        return Edits(env=env, preload=(self._preload(library),))

    def problem(self, share: Share, grants: Sequence[GpuGrant]) -> str:
        """A program whose region the guard cannot use finds no GPU, or has no limit."""
        if problem := self._damage(share, grants):
            return problem
        return _FORMER if Region(self._path(share)).snapshot().former else ""

    def _damage(self, share: Share, grants: Sequence[GpuGrant]) -> str:
        path = self._path(share)
        try:
            status = path.lstat()
            here = [gpu.uuid for gpu in Region.open(path).snapshot().gpus]
        except FileNotFoundError:
            return "its region is gone"
        except RegionCorruptError as error:
            return f"its region is damaged ({error.because})"
        except OSError as error:
            return f"its region cannot be read ({error.strerror})"
        if status.st_uid != share.uid or status.st_mode & 0o777 != _MODE:
            return "its region has another owner or mode"
        if here != [grant.gpu for grant in grants]:
            return "its region is that of another share"
        return ""

    def prove(self, share: Share, grants: Sequence[GpuGrant]) -> Sequence[ProofCheck]:
        """The region is there, and its limits are those that were granted: programs map the file,
        and could write others."""
        problem = self._damage(share, grants)
        if problem:
            return (ProofCheck(name="region", ok=False, evidence=problem),)
        try:
            limits = Region.open(self._path(share)).limits()
        except (OSError, RegionCorruptError) as error:
            return (ProofCheck(name="region", ok=False, evidence=str(error)),)
        wrong = [grant for grant in grants if limits.get(grant.gpu) != grant.limit]
        evidence = "; ".join(_changed(grant, limits.get(grant.gpu)) for grant in wrong)
        return (
            ProofCheck(name="region", ok=True),
            ProofCheck(name="limits", ok=not wrong, evidence=evidence),
        )

    def restore(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        # A loader passes over a path of LD_PRELOAD that is not there, and the program has no guard.
        self._preload(library_path())
        region = Region(self._path(share))
        for grant in grants:
            region.set_limit(grant.gpu, grant.limit)

    def rival(self, share: Share) -> AbstractContextManager[Rival | None]:
        return rival(self, share, self._context)

    def renew(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Make the region again; programs that have the old one mapped keep it."""
        path = self._path(share)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        Region(path).close()
        self._create(path, share, grants)

    def adjust(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Change limits and policy in place; raises RegionCorruptError, NoSuchGpuError, OSError."""
        region = Region.open(self._path(share))
        slots = {gpu.uuid: gpu.share_slot for gpu in region.snapshot().gpus}
        for grant in grants:
            region.set_limit(grant.gpu, grant.limit)
            # A region without a slot was made when the GPU page was full, or by an older daemon.
            if (slot := slots.get(grant.gpu)) is not None:
                self._gpu_pages.take(share, grant, slot)

    def release(self, share: Share) -> None:
        """Remove the region, free the share slots, and shrink the user's host pool."""
        # A prepare that was cut short leaves the region under its first name.
        for path in (self._path(share), self._fresh(share)):
            Region(path).close()
        self._readers.pop(share.id, None)
        self._observed.forget(share.id)
        self._gpu_pages.leave(share.id, share.decision.gpus if share.decision else ())
        # Last: without the region of this share less is needed.
        self._pools.close(share.uid, self._movable(share.uid))

    def suspend(self, share: Share, keep: Bytes) -> None:
        Region(self._path(share)).suspend(keep)

    def resume(self, share: Share) -> None:
        Region(self._path(share)).resume()

    def put_peak(self, share: Share, peak: Mapping[GpuId, Bytes]) -> None:
        region = Region(self._path(share))
        for gpu in region.limits():
            region.set_peak(gpu, peak.get(gpu, Bytes(0)))

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        region = Region.open(self._path(share))
        here = [gpu.uuid for gpu in region.snapshot().gpus]
        # Charges hang on the number of the GPU in the region, so the number stays and the name
        # changes (ADR 0028).
        for number, (grant, gpu) in enumerate(zip(grants, here, strict=True)):
            if grant.gpu != gpu:
                region.move(number, self._grant(share, grant))
        self._gpu_pages.leave(share.id, left)

    def mend(self) -> tuple[str, ...]:
        """Free the host memory of programs that have died."""
        self._pools.reap()
        return ()

    def shares(self) -> set[ShareId]:
        return self._gpu_pages.shares()

    def forget(self, shares: Collection[ShareId]) -> set[ShareId]:
        return self._gpu_pages.forget({share for share in shares if not self._inhabited(share)})

    def _inhabited(self, share: ShareId) -> bool:
        """Whether a process is counted in the region, if there is one."""
        try:
            region = Region(self._folder / Path(share).name)  # the page can say anything
            return bool(self._living.among(region.snapshot().slots)[0])
        except (OSError, RegionCorruptError):
            return False

    def observe(self, share: Share) -> Observation:
        """From the region and the GPU pages; what cannot be read is a fault of the share."""
        return self.observing()(share)

    def observing(self) -> Observe:
        return partial(self._observe, self._gpu_pages.looking(), cache(self._pools.left))

    def _observe(self, look: Look, left: HostLeft, share: Share) -> Observation:
        try:
            region = self._reader(share).snapshot()
        except OSError as error:
            return _unreadable(f"the share's region cannot be read: {error}")
        except RegionCorruptError as error:
            return _unreadable(str(error))
        # The region still has the charges of processes that were killed; the daemon leaves them out
        # and writes nothing, because only the share's own processes may take the lock.
        slots, pids = self._living.among(region.slots)
        share_slots = look(share.id, [gpu.uuid for gpu in region.gpus])
        wanted = host_wanted(region, slots)
        missing = Bytes(max(0, wanted - left(share.uid))) if wanted else Bytes(0)
        return self._observed.of(
            share.id,
            (region, slots, pids, share_slots, missing),
            lambda: observation(region, slots, pids, share_slots, missing=missing),
        )

    def _reader(self, share: Share) -> Reader[RegionSnapshot]:
        if share.id not in self._readers:
            path = self._path(share)
            self._readers[share.id] = Reader(path, Region(path).parse)
        return self._readers[share.id]

    def _preload(self, library: Path) -> str:
        return preload_path(self._folder.parent / "preload", library)

    def _path(self, share: Share) -> Path:
        return self._folder / share.id

    def _fresh(self, share: Share) -> Path:
        return self._folder / f"{share.id}.new"

    def _create(self, path: Path, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Under another name first: a region that can be seen is complete and its user's."""
        fresh = self._fresh(share)
        try:
            # Users can open their own region but cannot list others'.
            open_to_pass(self._folder)
            region = Region.create(fresh, [self._grant(share, grant) for grant in grants])
            region.set_flags(self._pools.flags)
            # The guard in the user's programs writes the file, and no other user may (mode 0600).
            if os.geteuid() == 0:
                os.chown(fresh, share.uid, share.gid)
            # rename is atomic: a program that starts meanwhile sees no region or a whole one.
            fresh.rename(path)
        except OSError as error:
            raise HardwareError(
                f"cannot make the share's region {path}", error.strerror or str(error)
            ) from error

    def _grant(self, share: Share, grant: GpuGrant) -> RegionGrant:
        return RegionGrant(
            uuid=grant.gpu,
            limit=grant.limit,
            context=self._context(grant.gpu),
            share_slot=self._gpu_pages.take(share, grant, None),
        )

    def _former(self, uid: int) -> bool:
        """Whether programs of the user may have the host pool of an earlier release mapped."""
        for path in self._folder.glob("*"):
            with contextlib.suppress(OSError, RegionCorruptError):
                if path.stat().st_uid == uid and Region(path).snapshot().former:
                    return True
        return False

    def _movable(self, uid: int) -> Bytes:
        """What all shares of the user may have on GPUs at most."""
        total = 0
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with contextlib.suppress(OSError, RegionCorruptError):
                if path.stat().st_uid == uid:
                    total += sum(Region(path).limits().values())
        return Bytes(total)


def _unreadable(because: str) -> Observation:
    return Observation(fault=because, unreadable=because)


def _changed(grant: GpuGrant, limit: Bytes | None) -> str:
    there = "no limit" if limit is None else format_bytes(limit)
    return f"the region says {there} on {grant.gpu}, granted are {format_bytes(grant.limit)}"
