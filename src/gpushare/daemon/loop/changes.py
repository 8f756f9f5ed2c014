# SPDX-License-Identifier: Apache-2.0
"""Changes of one share that users ask for and policies make: suspend, resume, update."""

from datetime import timedelta

from msgspec.structs import asdict, replace

from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import outcome
from gpushare.daemon.acts.memory_turns import MemoryTurns
from gpushare.daemon.acts.suspend import SuspendService
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.policies.expiry import Expiry
from gpushare.daemon.policies.requested_spec import requested_spec
from gpushare.hardware.ports import Clock
from gpushare.model.errors import NoCapacityError
from gpushare.model.share import Cause, Decision, Share, Tier
from gpushare.model.view import SuspendRequest, UpdateRequest
from gpushare.store import Store


class ShareChanges:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        executor: Executor,
        suspending: SuspendService,
        machine: ObservedMachine,
        placement: PlacementService,
        memory_turns: MemoryTurns,
        expiry: Expiry,
    ) -> None:
        self._store, self._clock = store, clock
        self._executor, self._suspending = executor, suspending
        self._machine, self._placement = machine, placement
        self._memory_turns, self._expiry = memory_turns, expiry

    async def suspend(
        self, share: Share, request: SuspendRequest, cause: Cause = Cause.USER
    ) -> None:
        """Off the GPU until it is resumed; raises ConflictError, and as moves do."""
        share = await self._executor.ready(share)
        if share.aside:
            return
        tier = Tier.CHECKPOINT if request.deep else Tier.MEMORY
        await self._suspending.suspend(share, tier, request.timeout, cause)
        self._placement.advance()

    async def resume(self, share: Share, seconds: float) -> None:
        """Raises NoCapacityError while others have its room."""
        await self._machine.refresh()
        share = await self._executor.ready(share)
        if share.suspension is None or not share.aside:
            return
        if reason := self._placement.hindrance(share):
            raise NoCapacityError(
                f"share {share.name} cannot be resumed now",
                f"it waits for {reason}",
                "see which shares have the room: gpushare ps",
            )
        await outcome(self._suspending.begin_resume(share, seconds))
        if share.spec.turns:
            # Without this the caller would see its share come back a quarter of a second later.
            await self._memory_turns.settle(self._machine.latest)

    async def update(
        self, share: Share, request: UpdateRequest, *, by_policy: bool = False
    ) -> None:
        """Raises UnsupportedError, NeverFitsError, NoCapacityError, QuotaError."""
        await self._machine.refresh()
        share = await self._executor.ready(share)
        fields = {name: value for name, value in asdict(request).items() if value is not None}
        spec = replace(share.spec, **fields)
        requested = requested_spec(share, spec, fields, by_policy=by_policy)
        changes: dict[str, object] = {"spec": spec, "asked": requested}
        if request.ttl is not None:
            changes["expires"] = self._clock.now() + timedelta(seconds=request.ttl)
        decision = self._placement.regrant(share, replace(share, **changes))
        await self._apply(share, decision, changes, on_machine=bool(fields.keys() - {"ttl"}))
        if request.ttl is not None:
            self._expiry.changed(share.id)
        self._placement.advance()

    async def _apply(
        self, share: Share, decision: Decision, changes: dict[str, object], *, on_machine: bool
    ) -> None:
        # A new end changes nothing on the machine, so it does not need the journal.
        if on_machine:
            await outcome(self._executor.adjust(share, decision, **changes))
        else:
            self._store.shares.update(share.id, **changes)
