# SPDX-License-Identifier: Apache-2.0
"""Suspends shares, resumes them, and moves them to other GPUs, each through the journal.

`suspend`, `resume`, `migrate` and `reassign` write an intent, let a suspend method act, and confirm
in one transaction. What happens to an interrupted act is decided by its intent alone (`recover`):

- an interrupted suspend is undone and an interrupted resume is finished: both mean that the share
  is to be on the GPU;
- a migration is a leave until the mechanisms have moved the share's limits to the new GPUs; until
  then it is undone. From that point (`migrate placed`) the journal holds a resume to the new GPUs.

The intents are written at once and the rest runs as an act in progress, whose task is returned;
nothing else is kept from going on while programs answer (`in_progress`).

A migration whose programs cannot return on the new GPUs goes back to the old ones if none has
arrived. If some have, the share stays suspended, and the rest follow with `resume`.

Invariants:
- A share has at most one open intent. `_placed` confirms the first half of a migration and opens
  the second in the same transaction.
- `suspension.left` names the old GPUs while a share may still be restored from them.
- A share that ends during a move leaves nothing on the GPUs that it was moving to.
- `step` is called at each point where a crash would leave a different state.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import asdict, replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.mechanisms.mechanism import Observation
from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId
from gpushare.model.share import Cause, Decision, Moved, Share, State, Suspension, Tier
from gpushare.model.units import format_bytes
from gpushare.store import Act, Intent, Store

from .in_progress import ActsInProgress
from .peers import Peers
from .suspend_methods import CheckpointSuspend, GuardSuspend

Step = Callable[[str], None]


class Transitions:
    """`step` is called at each point where a crash may happen."""

    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        bus: Bus,
        *,
        acts: ActsInProgress,
        peers: Peers,
        processes: ShareProcesses,
        step: Step = lambda _: None,
    ) -> None:
        self._store, self._ports, self._bus, self._step = store, ports, bus, step
        self._acts, self._peers, self._processes = acts, peers, processes
        self._checkpoint = CheckpointSuspend(ports)
        self._methods: dict[Tier, GuardSuspend | CheckpointSuspend] = {
            Tier.MEMORY: GuardSuspend(ports, acts.unwanted),
            Tier.CHECKPOINT: self._checkpoint,
        }

    def check(self, share: Share, tier: Tier, observed: Observation) -> None:
        """Raises NotSuspendableError."""
        self._methods[tier].check(share, observed)

    def suspend(
        self, share: Share, tier: Tier, seconds: float, cause: Cause
    ) -> asyncio.Task[Share]:
        """Raises HostMemoryError, MoveTimeoutError, MoveFailedError, NotSuspendableError.

        The programs then run on as before.
        """
        intent = self._open(share, Act.SUSPEND, tier)
        self._step("suspend written")
        work = self._suspend(intent, share, seconds, cause)
        return self._acts.begin([share.id], "suspended", work, waits=True)

    async def _suspend(self, intent: Intent, share: Share, seconds: float, cause: Cause) -> Share:
        tier, method = intent.tier, self._methods[intent.tier]
        pids = await self._pids(share)
        try:
            moved = await method.leave(share, pids, seconds)
        except Exception:
            # If the undo fails too, the intent stays open and `recover` tries again.
            await method.undo(share, pids)
            self._store.intents.confirm(intent)
            raise
        self._step("suspend acted")
        suspension = Suspension(cause=cause, since=self._ports.clock.now(), tier=tier)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.move(
                share.id,
                State.SUSPENDED,
                suspension=suspension,
                moved={**share.moved, tier: _newer(share.moved.get(tier), moved)},
            )
            self._bus.publish("share.suspended", _how(moved), share=share.id)
        self._step("suspend confirmed")
        return share

    def resume(self, share: Share, seconds: float) -> asyncio.Task[Share]:
        """Raises MoveTimeoutError, MoveFailedError; the share then stays suspended."""
        assert share.suspension is not None
        intent = self._open(share, Act.RESUME, share.suspension.tier)
        self._step("resume written")
        work = self._resume(intent, share, seconds)
        return self._acts.begin([share.id], "resumed", work, waits=True)

    async def _resume(self, intent: Intent, share: Share, seconds: float) -> Share:
        tier, method = intent.tier, self._methods[intent.tier]
        try:
            moved = await method.come_back(share, await self._pids(share), seconds)
        except Exception:
            # Half of a share on the GPU would hold memory that the record says is free: the rest
            # goes back.
            await method.stay(share)
            self._store.intents.confirm(intent)
            raise
        self._step("resume acted")
        share = self._back(intent, share, tier, moved)
        self._step("resume confirmed")
        return share

    async def returning(self, share: Share) -> bool:
        """Whether the driver has one of its programs on a GPU."""
        return await self._checkpoint.returning(await self._pids(share))

    def remaps(self) -> str:
        """Why no share can move to another GPU here; "" if shares can."""
        return self._checkpoint.remaps()

    def migrate(self, share: Share, to: Decision, seconds: float) -> asyncio.Task[Share]:
        """To the GPUs of `to`. Raises NotSuspendableError, MoveTimeoutError, MoveFailedError.

        The programs then run on where they were. If only some could be restored on the new GPUs,
        the others wait for a resume.
        """
        intent = self._open(replace(share, decision=to), Act.MIGRATE, Tier.CHECKPOINT)
        self._step("migrate written")
        work = self._migrate(intent, share, seconds)
        return self._acts.begin([share.id], "moved", work, waits=True)

    async def _migrate(self, intent: Intent, share: Share, seconds: float) -> Share:
        pids = await self._pids(share)
        try:
            out = await self._checkpoint.leave(share, pids, seconds)
            # Limits move only now, while no process of the share can use a GPU (`Region.move`).
            self._step("migrate left")
            await self._place(share, intent.decision)
        except Exception:
            await self._stay_where_it_is(intent, share, pids)
            raise
        self._step("migrate prepared")
        before, (intent, share) = share, self._placed(intent, share, out)
        self._step("migrate placed")
        try:
            back = await self._checkpoint.come_back(share, pids, seconds)
        except Exception:
            await self._not_arrived(intent, before, pids)
            raise
        self._step("migrate acted")
        share = self._back(intent, share, Tier.CHECKPOINT, back)
        await self._peers.admit({share.uid})
        self._step("migrate confirmed")
        return share

    def reassign(self, share: Share, to: Decision) -> asyncio.Task[Share]:
        """Assign other GPUs to a checkpointed share; it is resumed there."""
        intent = self._open(replace(share, decision=to), Act.MIGRATE, Tier.CHECKPOINT)
        self._step("migrate written")
        return self._acts.begin([share.id], "moved", self._reassign(intent, share))

    async def _reassign(self, intent: Intent, share: Share) -> Share:
        assert share.suspension is not None
        assert share.decision is not None
        # A share that is moved twice while it is away is still restored from the GPUs that it left
        # first.
        to, left = intent.decision, share.suspension.left or share.decision.gpus
        try:
            await self._place(share, to)
        except Exception:
            await self._stay_where_it_is(intent, share, ())
            raise
        self._step("migrate prepared")
        suspension = replace(share.suspension, left=left)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.update(share.id, decision=to, suspension=suspension)
            self._bus.publish("share.migrated", _route(left, to), share=share.id)
        await self._peers.admit({share.uid})
        self._step("migrate confirmed")
        return share

    async def recover(self, intent: Intent, share: Share, pids: Sequence[int]) -> None:
        """Undo or finish an interrupted act, as its intent says; raises what the driver raises."""
        if intent.act is Act.MIGRATE:
            await self._unmove(intent, share, pids)
            return
        try:
            await self._methods[intent.tier].undo(share, pids)
        except GpushareError as error:
            self._not_back(intent, share, error)
            return
        self._step("undo acted")
        if intent.act is Act.RESUME:
            self._back(intent, share, intent.tier, Moved())
            return
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.rolled_back", "an interrupted suspend", share=share.id)

    async def _unmove(self, intent: Intent, there: Share, pids: Sequence[int]) -> None:
        """A share that has ended meanwhile leaves nothing on the GPUs that it was moving to."""
        share = self._store.shares.get(there.id)
        if share.state.ended:
            async with self._acts.gpus(intent.decision.gpus):
                await in_own_thread(self._ports.mechanisms.release, there)
            self._store.intents.confirm(intent)
            return
        await self._stay_where_it_is(intent, share, pids)
        self._bus.publish("share.rolled_back", "an interrupted move", share=share.id)

    def _not_back(self, intent: Intent, share: Share, error: GpushareError) -> None:
        """Other GPUs may never accept it: it stays suspended, to be resumed or moved again.

        Raises the error if it returns to the GPUs that it left.
        """
        if share.suspension is None or not share.suspension.left:
            raise error
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.suspended", f"it did not return: {error}", share=share.id)

    def _placed(self, intent: Intent, share: Share, out: Moved) -> tuple[Intent, Share]:
        """From now on an interruption is finished on the new GPUs, not undone."""
        assert share.decision is not None
        left = share.decision.gpus
        away = Suspension(
            cause=Cause.USER, since=self._ports.clock.now(), tier=Tier.CHECKPOINT, left=left
        )
        moved = {**share.moved, Tier.CHECKPOINT: _newer(share.moved.get(Tier.CHECKPOINT), out)}
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.move(
                share.id, State.SUSPENDED, decision=intent.decision, suspension=away, moved=moved
            )
            return self._open(share, Act.RESUME, Tier.CHECKPOINT), share

    async def _not_arrived(self, intent: Intent, before: Share, pids: Sequence[int]) -> None:
        """All go back if none has arrived. Otherwise the rest follow with a resume."""
        if await self._checkpoint.returning(pids):
            self._store.intents.confirm(intent)
            return
        state = State.RUNNING if before.members else State.GRANTED
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.move(
                before.id, state, decision=before.decision, suspension=None
            )
            # Opened in the transaction that puts the old decision back: a crash before the undo
            # finds a migration to undo, not a share whose limits are on one GPU and whose record
            # names another.
            undo = self._store.intents.open(replace(intent, act=Act.MIGRATE))
        await self._stay_where_it_is(undo, share, pids)

    async def _stay_where_it_is(self, intent: Intent, share: Share, pids: Sequence[int]) -> None:
        """`share` as it is recorded: none of it has reached the GPUs of the intent yet."""
        assert share.decision is not None
        there = replace(share, decision=intent.decision)
        # Limits go back before programs do, so that none runs on the old GPUs without them.
        await self._place(there, share.decision)
        # A share that is only reassigned was suspended before and stays so.
        if share.suspension is None:
            await self._checkpoint.undo(share, pids)
        self._step("undo acted")
        self._store.intents.confirm(intent)

    async def _pids(self, share: Share) -> list[int]:
        """Of all its processes. No other enters while an act on the share is in progress."""
        return [process.pid for process in await self._processes.now(share)]

    async def _place(self, share: Share, to: Decision) -> None:
        """Its limits hold on the GPUs of `to` afterwards."""
        here = share.decision.gpus if share.decision else ()
        async with self._acts.gpus((*here, *to.gpus)):
            await in_own_thread(self._ports.mechanisms.move, share, to)

    def _open(self, share: Share, act: Act, tier: Tier) -> Intent:
        assert share.decision is not None
        intent = Intent(share=share.id, act=act, decision=share.decision, tier=tier)
        return self._store.intents.open(intent)

    def _back(self, intent: Intent, share: Share, tier: Tier, moved: Moved) -> Share:
        """A share without programs is granted; the next pass sees whether it has any."""
        with self._store.transaction():
            self._store.intents.confirm(intent)
            current = self._store.shares.get(share.id)
            state = State.RUNNING if current.members else State.GRANTED
            # A fault or a release may have ended the share while its programs were moving.
            if not current.state.ended:
                current = self._store.shares.move(
                    share.id,
                    state,
                    suspension=None,
                    granted=self._ports.clock.now(),
                    moved={**share.moved, tier: _newer(share.moved.get(tier), moved)},
                )
                self._publish_return(share, moved)
        return current

    def _publish_return(self, share: Share, moved: Moved) -> None:
        left = share.suspension.left if share.suspension else ()
        if left and share.decision is not None:
            route = _route(left, share.decision)
            message = ", ".join(part for part in (route, _how(moved)) if part)
            self._bus.publish("share.migrated", message, share=share.id)
        else:
            self._bus.publish("share.resumed", _how(moved), share=share.id)


def _newer(old: Moved | None, new: Moved) -> Moved:
    """Fields that are unknown in the new one keep their value."""
    fields = {name: value for name, value in asdict(new).items() if value is not None}
    return replace(old or Moved(), **fields)


def _route(left: Sequence[GpuId], to: Decision) -> str:
    return f"from {', '.join(left)} to {', '.join(to.gpus)}"


def _how(moved: Moved) -> str:
    seconds = moved.out_seconds if moved.in_seconds is None else moved.in_seconds
    size = moved.out_bytes if moved.in_bytes is None else moved.in_bytes
    parts = [f"in {seconds:.2f} s"] if seconds is not None else []
    parts += [f"{format_bytes(size)} copied"] if size is not None else []
    return ", ".join(parts)
