# SPDX-License-Identifier: Apache-2.0
"""Files, control groups and MPS daemons of shares that no longer exist.

They remain when a daemon lost its state, or was killed and its successor knows nothing of a share.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gpushare.guard import GpuPage, Region, RegionSlot, Swap
from gpushare.hardware.ports import Cgroups, Mps, MpsGpus, home_of
from gpushare.mechanisms.guard.living import LivingSlots
from gpushare.model.errors import GpuPageCorruptError, GpushareError, RegionCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.leftover import Kind, Leftover
from gpushare.model.units import Bytes, format_bytes, is_number

from .compute_lock import ComputeLock


@dataclass(frozen=True)
class KnownShares:
    """What the daemon knows: shares that live, shares that have ended, uids of the living."""

    living: Collection[ShareId]
    ended: Collection[ShareId] = ()
    users: Collection[int] = ()


@dataclass(frozen=True)
class Leftovers:
    """`regions`, `gpu_pages`, `groups`, `mps_folder`: their folders. `pools`: folders of pools.

    Several daemons may keep control groups in the same place, so only those of our shares count:
    shares that the state or a region names.
    """

    regions: Path
    gpu_pages: Path
    pools: Sequence[Path]
    groups: Path
    mps_folder: Path
    cgroups: Cgroups
    mps: Mps
    locks: ComputeLock
    living: LivingSlots

    def find(self, shares: KnownShares) -> list[Leftover]:
        """Control groups first: their regions show that the groups were ours."""
        return [
            *self._groups(shares),
            *self._regions(shares),
            *self._gpu_pages(shares),
            *self._pools(shares),
            *self._daemons(shares),
            *self._modes(shares),
        ]

    def homes(self) -> set[str]:
        """The names of our MPS folders."""
        return set(map(home_of, self.mps.holders()))

    def remove(self, leftover: Leftover, shares: KnownShares) -> str:
        """Why it cannot be removed; "" when it is gone."""
        path = Path(leftover.name)
        ways: dict[Kind, Callable[[], str]] = {
            Kind.GROUP: lambda: self._remove_group(path),
            Kind.REGION: lambda: self._remove_region(path),
            Kind.BOARD: lambda: self._free_slots(path, shares),
            Kind.POOL: lambda: self._remove_pool(path),
            Kind.MPS: lambda: self._end_daemon(leftover.gpus, shares),
            Kind.MODE: lambda: self._restore_mode(GpuId(path.name)),
        }
        try:
            return ways[leftover.kind]()
        # Another cleaner, or the end of the share, was faster: what was asked for is done.
        except FileNotFoundError:
            return ""
        except (OSError, GpushareError) as error:
            return str(error)

    def _groups(self, shares: KnownShares) -> Iterator[Leftover]:
        ours = {*shares.ended, *(_share_of(path) for path in _files(self.regions))}
        for path in _files(self.groups):
            share = ShareId(path.name)
            if path.is_dir() and share in ours and share not in shares.living:
                yield _leftover(Kind.GROUP, path, f"share {share} no longer exists")

    def _remove_group(self, path: Path) -> str:
        if self.cgroups.remove(path.name):
            return ""
        pids = ", ".join(map(str, self.cgroups.pids(path.name)))
        return f"processes {pids} use it: end them first"

    def _regions(self, shares: KnownShares) -> Iterator[Leftover]:
        for path in _files(self.regions):
            if (share := _share_of(path)) not in shares.living:
                slots = self._slots(path)
                held = Bytes(sum(sum(slot.charged.values()) for slot in slots))
                yield _leftover(Kind.REGION, path, f"share {share} no longer exists", held)

    def _remove_region(self, path: Path) -> str:
        """Children of a program that is counted in it could not be counted afterwards."""
        if pids := ", ".join(str(slot.pid) for slot in self._slots(path)):
            return f"processes {pids} are counted in it: end them first"
        Region(path).close()
        return ""

    def _slots(self, path: Path) -> Sequence[RegionSlot]:
        with suppress(OSError, RegionCorruptError):
            return self.living.among(Region(path).snapshot().slots)[0]
        return ()

    def _gpu_pages(self, shares: KnownShares) -> Iterator[Leftover]:
        for path in _files(self.gpu_pages):
            # A page that cannot be read is no leftover that can be named; the next `prepare`
            # replaces it.
            with suppress(OSError, GpuPageCorruptError):
                on_page = [slot.policy.share for slot in GpuPage(path).snapshot().share_slots]
                gone = [share for share in on_page if share not in shares.living]
                if gone or not on_page:
                    why = (
                        f"share slots of {', '.join(gone)}, which no longer exist"
                        if gone
                        else "it is empty"
                    )
                    yield _leftover(Kind.BOARD, path, why)

    def _free_slots(self, path: Path, shares: KnownShares) -> str:
        """A GPU page without share slots is removed: no program of ours maps it."""
        page, left = GpuPage(path), False
        for slot in page.snapshot().share_slots:
            if slot.policy.share in shares.living:
                left = True
            else:
                page.set_share(slot.number, None)
        if not left:
            path.unlink()
        return ""

    def _pools(self, shares: KnownShares) -> Iterator[Leftover]:
        for folder in self.pools:
            for path in _files(folder):
                if is_number(path.name) and int(path.name) not in shares.users:
                    why = f"no share of uid {path.name} is there"
                    yield _leftover(Kind.POOL, path, why, _enabled(path))

    def _remove_pool(self, path: Path) -> str:
        with suppress(OSError):
            pool = Swap(path)
            # What dead programs held counts as taken until it is freed.
            pool.reap()
            if taken := pool.info().taken:
                return f"living processes have {format_bytes(taken)} of it"
        shutil.rmtree(path)
        return ""

    def _daemons(self, shares: KnownShares) -> Iterator[Leftover]:
        for gpus, holders in self.mps.holders().items():
            if not set(holders) & set(shares.living):
                path = self.mps_folder / home_of(gpus)
                names = ", ".join(holders)
                why = (
                    f"it serves shares {names}, which no longer exist"
                    if names
                    else "it serves no share"
                )
                yield _leftover(Kind.MPS, path, why, gpus=gpus)

    def _end_daemon(self, gpus: MpsGpus, shares: KnownShares) -> str:
        """Releasing the last holder ends it and its servers."""
        for holder in self.mps.holders().get(gpus, ()):
            if holder not in shares.living:
                self.mps.release(gpus, holder)
        # A release that was cut short leaves a daemon without holders.
        self.mps.release(gpus, None)
        return ""

    def _modes(self, shares: KnownShares) -> Iterator[Leftover]:
        for gpu, share in self.locks.holders().items():
            if share not in shares.living:
                why = f"its GPU is locked for share {share}, which no longer exists"
                yield _leftover(Kind.MODE, self.locks.path(gpu), why, gpus=(gpu,))

    def _restore_mode(self, gpu: GpuId) -> str:
        if (share := self.locks.holders().get(gpu)) is not None:
            self.locks.open(gpu, share)
        return ""


def _leftover(
    kind: Kind, path: Path, why: str, memory: Bytes | None = None, gpus: tuple[GpuId, ...] = ()
) -> Leftover:
    uid, since = None, None
    with suppress(OSError):
        status = path.lstat()
        uid, since = status.st_uid, datetime.fromtimestamp(status.st_mtime, UTC)
    return Leftover(
        kind=kind, name=str(path), why=why, memory=memory, gpus=gpus, uid=uid, since=since
    )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _share_of(region: Path) -> ShareId:
    """A region that is being created has another name."""
    return ShareId(region.name.removesuffix(".new"))


def _enabled(path: Path) -> Bytes | None:
    with suppress(OSError):
        return Swap(path).info().enabled
    return None
