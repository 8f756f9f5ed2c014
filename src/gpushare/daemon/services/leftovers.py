# SPDX-License-Identifier: Apache-2.0
"""What is left behind, found by comparing the machine with the books; ended only when asked."""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from signal import Signals

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.loop.core import Core
from gpushare.daemon.observe.share_processes import MARK
from gpushare.daemon.present.views import user_name
from gpushare.hardware.linux.census import Census
from gpushare.hardware.linux.residents import MpsResident, Resident
from gpushare.mechanisms.leftovers import KnownShares
from gpushare.model.errors import RoleError, UsageError
from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.leftover import Cleaned, CleanRequest, Kind, Leftover, Outcome
from gpushare.model.share import Caller, ProcessRef, Share
from gpushare.model.units import Bytes


class DaemonLeftovers:
    """Looks and acts while nobody else changes anything."""

    def __init__(self, core: Core, access: Access) -> None:
        self._core, self._access = core, access
        self._store, self._ports = core.store, core.ports

    async def all(self, caller: Caller) -> Sequence[Leftover]:
        self._check(caller)
        async with self._core.turn:
            return await self._find(self._known())

    async def clean(self, request: CleanRequest, caller: Caller) -> Sequence[Cleaned]:
        self._check(caller)
        async with self._core.turn:
            known = self._known()
            chosen = choose(await self._find(known), request)
            if request.dry_run:
                return [Cleaned(leftover=one, outcome=Outcome.WOULD) for one in chosen]
            return [await self._clean(one, known, force=request.force) for one in chosen]

    def _check(self, caller: Caller) -> None:
        if not self._access.all(caller):
            raise RoleError(
                "leftovers are for operators",
                "they tell of everybody's processes",
                "ask an operator of this machine",
            )

    def _known(self) -> KnownShares:
        shares = self._store.shares.all()
        living = [share for share in shares if not share.state.ended]
        return KnownShares(
            living={share.id for share in living},
            ended={share.id for share in shares if share.state.ended},
            users={share.uid for share in living},
        )

    async def _find(self, known: KnownShares) -> list[Leftover]:
        await self._core.placement.refresh()
        living = [share for share in self._store.shares.living() if share.state.holds]
        await self._core.observer.look(living)
        census = await asyncio.to_thread(self._ports.census)
        ours = self._ours(census, living)
        owners = {share.id: share.uid for share in living}
        found = await asyncio.to_thread(self._look, ours, owners, known)
        return [one if one.uid is None else replace(one, user=user_name(one.uid)) for one in found]

    def _ours(self, census: Census, living: Sequence[Share]) -> set[int]:
        """Every process of a share, and the daemon's own."""
        found = {
            process
            for share in living
            for process in self._core.members.look(
                share, census, self._core.observer.last(share.id)
            )
        }
        myself = census.find(os.getpid())
        family = census.family([myself]) if myself else set()
        return {process.pid for process in found | family}

    def _look(
        self, ours: Collection[int], owners: Mapping[ShareId, int], known: KnownShares
    ) -> list[Leftover]:
        residents, leftovers = self._ports.residents, self._ports.leftovers

        def marked(who: Resident) -> bool:
            share = ShareId(residents.variable(who.process.pid, MARK))
            return owners.get(share) == who.uid

        gpus = self._core.placement.machine.gpus
        seen = [(gpu, *one) for gpu in gpus for one in residents.on(gpu)]
        return [
            *processes([one for one in seen if not (one[2] and marked(one[2]))], ours),
            *daemons(residents.mps(), leftovers.mps_folder, leftovers.homes()),
            *leftovers.find(known),
        ]

    async def _clean(self, one: Leftover, known: KnownShares, *, force: bool) -> Cleaned:
        if one.process is not None:
            done = self._end(one, one.process, force=force)
        else:
            because = await asyncio.to_thread(self._ports.leftovers.remove, one, known)
            outcome = Outcome.KEPT if because else Outcome.DONE
            done = Cleaned(leftover=one, outcome=outcome, because=because)
        said = f"{one.kind} {one.name}: {done.outcome}"
        self._core.bus.publish("leftover.cleaned", f"{said}, {done.because}".rstrip(", "))
        return done

    def _end(self, one: Leftover, process: ProcessRef, *, force: bool) -> Cleaned:
        """The signal goes through a pidfd, to this very process or to none."""
        if not self._ports.processes.alive(process):
            return Cleaned(leftover=one, outcome=Outcome.DONE, because="it has ended meanwhile")
        self._ports.signal(process, Signals.SIGKILL if force else Signals.SIGTERM)
        return Cleaned(leftover=one, outcome=Outcome.DONE if force else Outcome.ASKED)


def choose(found: Sequence[Leftover], request: CleanRequest) -> list[Leftover]:
    """What a request is about. Raises UsageError for a process that is no leftover.

    What is not ours is chosen only by naming its process, as it was when it was looked at.
    """
    known = {one.process for one in found if one.process}
    for process in request.processes:
        if process not in known:
            raise UsageError(
                f"process {process.pid} is no leftover",
                "it has ended, or belongs to a share",
                "look again: gpushare clean",
            )
    named = [one for one in found if one.process in request.processes]
    every = not request.kinds and not request.processes
    return [
        one for one in found if one in named or (one.ours and (every or one.kind in request.kinds))
    ]


def processes(
    seen: Sequence[tuple[Gpu, GpuProcess, Resident | None]], ours: Collection[int]
) -> list[Leftover]:
    """Who has GPU memory without a share, each process once."""
    found: dict[int, Leftover] = {}
    for gpu, listed, who in seen:
        if listed.pid in ours and who is not None and not who.defunct:
            continue
        before = found.get(listed.pid) or _process(listed.pid, who)
        sizes = [size for size in (before.memory, listed.memory) if size is not None]
        found[listed.pid] = replace(
            before,
            gpus=(*before.gpus, gpu.uuid),
            memory=Bytes(sum(sizes)) if sizes else None,
        )
    return list(found.values())


def _process(pid: int, who: Resident | None) -> Leftover:
    """One that has ended cannot be ended, so there is no process to name."""
    if who is None:
        why = "it has ended, but the driver still lists memory of it"
        return Leftover(kind=Kind.CONTEXT, name=f"process {pid}", why=why, ours=False)
    if who.defunct:
        why = f"it has ended, but its parent, process {who.parent}, has not collected it"
        return replace(_of(who, Kind.CONTEXT, why, ours=False), process=None)
    return _of(who, Kind.PROCESS, "it is in no share", ours=False)


def daemons(
    found: Sequence[MpsResident], folder: Path, homes: Collection[GpuId]
) -> Iterator[Leftover]:
    """MPS daemons of others, servers without one, and ours whose folder is gone.

    `folder`: where ours are, one folder per GPU; those in `homes` are looked after elsewhere.
    """
    controls = {one.resident.process.pid for one in found if not one.server}
    for one in found:
        home = one.pipe.parent if one.pipe else None
        if home is not None and home.parent == folder:
            if home.name not in homes:
                yield _of(one.resident, Kind.MPS, "ours, but its folder is gone", ours=True)
        elif not one.server:
            where = f" on {one.pipe}" if one.pipe else ""
            yield _of(one.resident, Kind.MPS, f"an MPS daemon of its user's{where}", ours=False)
        elif one.resident.parent not in controls:
            yield _of(one.resident, Kind.MPS, "its MPS daemon has ended", ours=False)


def _of(who: Resident, kind: Kind, why: str, *, ours: bool) -> Leftover:
    return Leftover(
        kind=kind,
        name=f"process {who.process.pid}",
        why=why,
        ours=ours,
        process=who.process,
        command=who.name,
        uid=who.uid,
        since=who.since,
    )
