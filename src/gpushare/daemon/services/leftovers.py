# SPDX-License-Identifier: Apache-2.0
"""Leftovers: found by comparing the machine with the records, removed only on request."""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from signal import Signals

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.signalling import Signalling, Untouchable
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.observer import Observer
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.observe.unknown_shares import UnknownShares
from gpushare.daemon.present.views import user_name
from gpushare.hardware.linux.census import Census
from gpushare.hardware.linux.residents import MpsResident, Resident
from gpushare.mechanisms.guard.living_shares import MARK
from gpushare.mechanisms.leftovers import KnownShares
from gpushare.model.errors import RoleError, UsageError
from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.ids import ShareId
from gpushare.model.leftover import Cleaned, CleanRequest, Kind, Leftover, Outcome
from gpushare.model.share import Caller, ProcessRef, Share
from gpushare.model.units import Bytes
from gpushare.store import Store

_SHOWN = 5
_OF_SHARES = {Kind.REGION, Kind.GROUP}


class DaemonLeftovers:
    """Works on no GPU's files while an act does, so that files and records agree."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        acts: ActsInProgress,
        access: Access,
        machine: ObservedMachine,
        observer: Observer,
        processes: ShareProcesses,
        signalling: Signalling,
        unknown: UnknownShares,
    ) -> None:
        self._store, self._ports, self._bus, self._acts = store, ports, bus, acts
        self._access, self._machine = access, machine
        self._observer, self._processes = observer, processes
        self._signalling, self._unknown = signalling, unknown
        self._strangers: tuple[str, ...] = ()

    async def all(self, caller: Caller) -> Sequence[Leftover]:
        """Raises RoleError for those who are no operators, HardwareError."""
        self._check(caller)
        return await self._find()

    async def clean(self, request: CleanRequest, caller: Caller) -> Sequence[Cleaned]:
        """What was done with each leftover of the request.

        Raises RoleError, UsageError, HardwareError.
        """
        self._check(caller)
        # Looked for again: what the caller saw in a list may have changed since.
        chosen = choose(await self._find(), request)
        if request.dry_run:
            return [Cleaned(leftover=it, outcome=Outcome.WOULD) for it in chosen]
        command = caller.pid if caller.remote is None else None
        untouchable = Untouchable.here(self._ports.processes, command)
        done = [await self._clean(it, request, untouchable) for it in chosen]
        if self._strangers:
            self._strangers = await self._unknown_shares()
        return done

    async def report_unknown(self) -> None:
        """Once at start: publish which shares the machine has and the state file does not know.

        It was replaced or is an older one, so what it grants may be in use already.
        """
        self._strangers = await self._unknown_shares()
        if self._strangers:
            self._bus.publish("state.lost", _unknown_text(self._strangers))

    def notices(self) -> tuple[str, ...]:
        """One sentence until they are cleaned; those with programs are in another notice."""
        left = [share for share in self._strangers if share not in self._unknown.shares]
        return (_unknown_text(left),) if left else ()

    async def _unknown_shares(self) -> tuple[str, ...]:
        known = self._known()
        found = await in_own_thread(self._ports.leftovers.find, known)
        shares = {Path(it.name).name.removesuffix(".new") for it in found if it.kind in _OF_SHARES}
        return tuple(sorted(shares.difference(known.living, known.ended)))

    def _check(self, caller: Caller) -> None:
        if not self._access.all(caller):
            raise RoleError(
                "leftovers are for operators",
                "they show the processes of all users",
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

    async def _find(self) -> list[Leftover]:
        await self._machine.refresh()
        living = [share for share in self._store.shares.living() if share.state.holds]
        await self._observer.look(living)
        census = await asyncio.to_thread(self._ports.census)
        ours = self._ours(census, living)
        owners = {share.id: share.uid for share in living}
        async with self._acts.gpus(gpu.uuid for gpu in self._machine.latest.gpus):
            leftovers = await in_own_thread(self._look, ours, owners, self._known())
        return [it if it.uid is None else replace(it, user=user_name(it.uid)) for it in leftovers]

    def _ours(self, census: Census, living: Sequence[Share]) -> set[int]:
        """Every process of a share, and the daemon's own."""
        members = {
            process
            for share in living
            for process in self._processes.look(share, census, self._observer.last(share.id))
        }
        myself = census.find(os.getpid())
        family = census.family([myself]) if myself else set()
        return {process.pid for process in members | family}

    def _look(
        self, ours: Collection[int], owners: Mapping[ShareId, int], known: KnownShares
    ) -> list[Leftover]:
        residents, leftovers = self._ports.residents, self._ports.leftovers

        def marked(resident: Resident) -> bool:
            share = ShareId(residents.variable(resident.process.pid, MARK))
            # Any user can set the variable, so it counts only for processes of the share's own
            # user.
            return owners.get(share) == resident.uid

        gpus = self._machine.latest.gpus
        listed = [(gpu, process, who) for gpu in gpus for process, who in residents.on(gpu)]
        return [
            *processes([entry for entry in listed if not (entry[2] and marked(entry[2]))], ours),
            *daemons(residents.mps(), leftovers.mps_folder, leftovers.homes()),
            *leftovers.find(known),
        ]

    async def _clean(self, leftover: Leftover, request: CleanRequest, to: Untouchable) -> Cleaned:
        if leftover.process is not None:
            done = self._end(leftover, leftover.process, request, to)
        else:
            async with self._acts.gpus(gpu.uuid for gpu in self._machine.latest.gpus):
                remove = self._ports.leftovers.remove
                because = await in_own_thread(remove, leftover, self._known())
            outcome = Outcome.KEPT if because else Outcome.DONE
            done = Cleaned(leftover=leftover, outcome=outcome, because=because)
        message = f"{leftover.kind} {leftover.name}: {done.outcome}"
        self._bus.publish("leftover.cleaned", f"{message}, {done.because}".rstrip(", "))
        return done

    def _end(
        self, leftover: Leftover, process: ProcessRef, request: CleanRequest, to: Untouchable
    ) -> Cleaned:
        if not self._ports.processes.alive(process):
            return Cleaned(
                leftover=leftover, outcome=Outcome.DONE, because="it has ended meanwhile"
            )
        named = process in request.processes
        # Any user can start a program with the name and the environment of one of ours.
        if not named and leftover.uid != os.geteuid():
            because = f"it belongs to uid {leftover.uid}; name it: --process {process.pid}"
            return Cleaned(leftover=leftover, outcome=Outcome.KEPT, because=because)
        number = Signals.SIGKILL if request.force else Signals.SIGTERM
        if because := self._signalling.send_named(process, number, to):
            return Cleaned(leftover=leftover, outcome=Outcome.KEPT, because=because)
        outcome = Outcome.DONE if request.force else Outcome.ASKED
        return Cleaned(leftover=leftover, outcome=outcome)


def _unknown_text(shares: Sequence[str]) -> str:
    more = ", …" * (len(shares) > _SHOWN)
    return (
        f"the machine has {len(shares)} shares that the state file does not know: "
        f"{', '.join(shares[:_SHOWN])}{more}; see gpushare clean"
    )


def choose(leftovers: Sequence[Leftover], request: CleanRequest) -> list[Leftover]:
    """What a request is about. Raises UsageError for a process that is no leftover.

    What is not ours is chosen only by naming its process, as it was when it was listed.
    """
    known = {leftover.process for leftover in leftovers if leftover.process}
    for process in request.processes:
        if process not in known:
            raise UsageError(
                f"process {process.pid} is no leftover",
                "it has ended, or belongs to a share",
                "look again: gpushare clean",
            )
    named = [leftover for leftover in leftovers if leftover.process in request.processes]
    every = not request.kinds and not request.processes
    return [
        leftover
        for leftover in leftovers
        if leftover in named or (leftover.ours and (every or leftover.kind in request.kinds))
    ]


def processes(
    listed: Sequence[tuple[Gpu, GpuProcess, Resident | None]], ours: Collection[int]
) -> list[Leftover]:
    """Processes with GPU memory outside every share, each once."""
    leftovers: dict[int, Leftover] = {}
    for gpu, process, resident in listed:
        # A process that has ended is listed even if it was a share's: the driver still counts its
        # memory.
        if process.pid in ours and resident is not None and not resident.defunct:
            continue
        before = leftovers.get(process.pid) or _process(process.pid, resident)
        sizes = [size for size in (before.memory, process.memory) if size is not None]
        leftovers[process.pid] = replace(
            before,
            gpus=(*before.gpus, gpu.uuid),
            memory=Bytes(sum(sizes)) if sizes else None,
        )
    return list(leftovers.values())


def _process(pid: int, resident: Resident | None) -> Leftover:
    """A process that has ended cannot be ended, so the leftover names none."""
    if resident is None:
        why = "it has ended, but the driver still lists memory of it"
        return Leftover(kind=Kind.CONTEXT, name=f"process {pid}", why=why, ours=False)
    if resident.defunct:
        why = f"it has ended, but its parent, process {resident.parent}, has not collected it"
        return replace(_of(resident, Kind.CONTEXT, why, ours=False), process=None)
    return _of(resident, Kind.PROCESS, "it is in no share", ours=False)


def daemons(
    residents: Sequence[MpsResident], folder: Path, homes: Collection[str]
) -> Iterator[Leftover]:
    """MPS daemons of others, servers without a daemon, and our daemons whose folder is gone.

    `folder`: where ours are, one folder for each; those in `homes` are handled elsewhere.
    """
    controls = {mps.resident.process.pid for mps in residents if not mps.server}
    for mps in residents:
        home = mps.pipe.parent if mps.pipe else None
        # Any user can name a process so and set the variable. Servers run as the user they serve.
        mine = mps.server or mps.resident.uid == os.geteuid()
        if mine and home is not None and home.parent == folder:
            if home.name not in homes:
                yield _of(mps.resident, Kind.MPS, "ours, but its folder is gone", ours=True)
        elif not mps.server:
            where = f" on {mps.pipe}" if mps.pipe else ""
            yield _of(mps.resident, Kind.MPS, f"an MPS daemon of its user's{where}", ours=False)
        # The control daemon starts the servers, so a server with another parent has lost its
        # daemon.
        elif mps.resident.parent not in controls:
            yield _of(mps.resident, Kind.MPS, "its MPS daemon has ended", ours=False)


def _of(resident: Resident, kind: Kind, why: str, *, ours: bool) -> Leftover:
    return Leftover(
        kind=kind,
        name=f"process {resident.process.pid}",
        why=why,
        ours=ours,
        process=resident.process,
        command=resident.name,
        uid=resident.uid,
        since=resident.since,
    )
