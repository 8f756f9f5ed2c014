# SPDX-License-Identifier: Apache-2.0
"""The queue: asks the scheduler, and has the executor do what it decides."""

import asyncio
from collections.abc import Sequence

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Machine
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import ShareSpec
from gpushare.scheduler import Request, Snapshot, Waiting, decide, hindrance, regrant
from gpushare.store import Store

from .executor import Executor
from .members import Members
from .observer import Observer
from .replay import Record
from .rig import Rig
from .snapshots import Snapshots
from .turns import Turns

Outcome = Decision | Waiting


class Placer:
    def __init__(
        self,
        store: Store,
        rig: Rig,
        executor: Executor,
        members: Members,
        *,
        observer: Observer,
        turns: Turns,
    ) -> None:
        self._store, self._rig = store, rig
        self._executor = executor
        self._snapshots = Snapshots(store, rig, members, observer)
        self.turns = turns
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
        return decide(self._snapshot(queue), Request(spec=spec, uid=uid))

    def hindrance(self, share: Share) -> str:
        """What a suspended share would have to wait for before it can come back."""
        return hindrance(self._snapshot(()), share)

    def regrant(self, share: Share, spec: ShareSpec) -> Decision:
        """The share's decision under another spec; raises as `scheduler.regrant` does."""
        return regrant(self._snapshot(()), share, spec)

    def _snapshot(self, queue: Sequence[Share] | None) -> Snapshot:
        if queue is None:
            living = self._store.shares.living()
            queue = [share for share in living if share.state is State.QUEUED]
        return self._snapshots.take(self.machine, [_request(share) for share in queue])

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
                self._note(share, ahead, answer)
                await self._executor.grant(share, answer)
        await self.turns.settle(self.machine)

    def _note(self, share: Share, ahead: Sequence[Share], decision: Decision) -> None:
        record = Record(state=self._snapshot(ahead), request=_request(share), decision=decision)
        self._store.decisions.put(share.id, self._rig.clock.now(), record.encode())

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


def _request(share: Share) -> Request:
    return Request(spec=share.spec, uid=share.uid)
