# SPDX-License-Identifier: Apache-2.0
"""The queue: asks the scheduler, and has the executor do what it decides."""

import asyncio
from collections.abc import Sequence

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import ShareSpec
from gpushare.model.units import Bytes
from gpushare.scheduler import Request, Snapshot, Waiting, decide
from gpushare.store import Store

from .executor import Executor
from .members import Members
from .rig import Rig

Outcome = Decision | Waiting


class Placer:
    def __init__(self, store: Store, rig: Rig, executor: Executor, members: Members) -> None:
        self._store, self._rig = store, rig
        self._executor, self._members = executor, members
        self.machine = Machine()
        self._asked: set[tuple[str, str]] = set()

    async def refresh(self) -> None:
        """Look at the machine anew; raises HardwareError."""
        self.machine = await asyncio.to_thread(self._rig.machine, self._store.contexts.all())
        if await self._measured():
            self.machine = await asyncio.to_thread(self._rig.machine, self._store.contexts.all())

    async def _measured(self) -> bool:
        """Regions charge contexts, so their cost is measured before the first share; once."""
        present = {(gpu.uuid, gpu.driver) for gpu in self.machine.gpus if not gpu.health.lost}
        new = present - self._asked
        self._asked |= new
        if all(self._store.contexts.get(*key) is not None for key in new):
            return False
        found = await asyncio.to_thread(self._rig.probe.contexts)
        for gpu, (driver, cost) in found.items():
            self._store.contexts.put(gpu, driver, cost)
        return bool(found)

    def outcome(self, spec: ShareSpec, uid: int, queue: Sequence[Share] | None = None) -> Outcome:
        """What would happen now; raises what `decide` raises. `queue`: who asked earlier."""
        living = self._store.shares.living()
        if queue is None:
            queue = [share for share in living if share.state is State.QUEUED]
        holding = tuple(share for share in living if share.state.holds)
        state = Snapshot(
            machine=self.machine,
            shares=holding,
            queue=tuple(_request(share) for share in queue),
            promises=self._rig.mechanisms.promises(),
            foreign={gpu.uuid: self._foreign(gpu, holding) for gpu in self.machine.gpus},
        )
        return decide(state, Request(spec=spec, uid=uid))

    def waiting(self) -> dict[str, Waiting]:
        """Every queued share and what it waits for."""
        found: dict[str, Waiting] = {}
        for share, ahead in self._queued():
            answer = self._try(share, ahead)
            if isinstance(answer, Waiting):
                found[share.id] = answer
        return found

    async def advance(self) -> None:
        """Grant what fits, first come first served; fail what never will."""
        ahead: list[Share] = []
        for share, _ in self._queued():
            answer = self._try(share, ahead)
            if isinstance(answer, Waiting):
                ahead.append(share)
            elif isinstance(answer, GpushareError):
                await self._executor.fail(share, answer)
            else:
                await self._executor.grant(share, answer)

    def _queued(self) -> list[tuple[Share, list[Share]]]:
        busy = self._executor.busy()
        living = self._store.shares.living()
        queue = [s for s in living if s.state is State.QUEUED and s.id not in busy]
        return [(share, queue[:index]) for index, share in enumerate(queue)]

    def _try(self, share: Share, ahead: Sequence[Share]) -> Outcome | GpushareError:
        try:
            return self.outcome(share.spec, share.uid, ahead)
        except GpushareError as error:
            return error

    def _foreign(self, gpu: Gpu, holding: Sequence[Share]) -> Bytes:
        """Memory of programs outside any share, as far as the driver names them."""
        ours = {process.pid for share in holding for process in self._members.shown(share)}
        others = (p for p in self._rig.programs(gpu) if p.pid not in ours)
        return Bytes(sum(process.memory or 0 for process in others))


def _request(share: Share) -> Request:
    return Request(spec=share.spec, uid=share.uid)
