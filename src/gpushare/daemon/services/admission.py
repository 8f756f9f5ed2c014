# SPDX-License-Identifier: Apache-2.0
"""Admits new shares: their tenant, whether they may wait, and where a reservation is placed."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from gpushare.config.printable import printable
from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.lifetime import DaemonLifetime
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.daemon.placement import names
from gpushare.daemon.placement.placement import PlacementService
from gpushare.hardware.ports import Clock
from gpushare.model.errors import BadSpecError, NoCapacityError
from gpushare.model.ids import ShareId, Tenant
from gpushare.model.share import Caller, Decision, ProcessRef, Share, State
from gpushare.model.spec import ShareSpec
from gpushare.model.view import CreateRequest, Plan
from gpushare.scheduler import Request, Waiting
from gpushare.store import Store

from .freed_names import FreedNames

_JUST_COME = timedelta(minutes=1)  # clients' clocks, and the time that a request takes
_LONGEST_PROGRAM = 255  # characters
TenantOf = Callable[[Caller, Tenant | None], Tenant]


class Bounds(NamedTuple):
    """The processes whose end ends a share: always, and while it is queued."""

    holder: ProcessRef | None = None
    waiter: ProcessRef | None = None


class Admission:
    """`tenant_of`: the tenant of a caller's share."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        tenant_of: TenantOf,
        *,
        machine: ObservedMachine,
        processes: ShareProcesses,
        executor: Executor,
        placement: PlacementService,
        lifetime: DaemonLifetime,
    ) -> None:
        self._store, self._bus, self._clock, self._tenant_of = store, bus, clock, tenant_of
        self._machine, self._processes = machine, processes
        self._executor, self._placement = executor, placement
        self._lifetime = lifetime
        self._names = FreedNames(store, bus, processes=processes, executor=executor)

    async def admit(
        self,
        request: CreateRequest,
        caller: Caller,
        bounds: Bounds,
    ) -> ShareId:
        """A new share: granted, reserved or waiting. NoCapacityError if it may not wait."""
        self._store.check_room()
        if request.spec.name:
            await self._names.await_free(caller.uid, request.spec.name)
        await self._machine.refresh()
        share, may_wait = self._admit(request, caller, bounds)
        await self._placement.served(share)
        if not may_wait:
            await self._placement.room_given(share)
            await self._withdraw(share)
        return share

    def _admit(
        self,
        request: CreateRequest,
        caller: Caller,
        bounds: Bounds,
    ) -> tuple[ShareId, bool]:
        """The new share, and whether it may wait in the queue."""
        new = self._request(request.spec, caller, request.program)
        # Before the share is added: a reservation that is refused must leave no trace in the queue.
        booking = self._placement.book(new) if self._early(request.spec) else None
        if booking is None:
            self._check(new, may_wait=request.wait)
        share = self._add(request, new, caller, bounds, booking)
        self._placement.advance()
        return share.id, request.wait or booking is not None

    async def plan(self, spec: ShareSpec, caller: Caller) -> Plan:
        """What would happen now; raises as `admit` does."""
        await self._machine.refresh()
        new = self._request(spec, caller)
        early = self._early(spec)
        outcome = self._placement.book(new) if early else self._placement.outcome(new)
        simulated = any(gpu.simulated for gpu in self._machine.latest.gpus)
        if isinstance(outcome, Waiting):
            return Plan(decision=None, waits_for=outcome.waits_for, simulated=simulated)
        return Plan(decision=outcome, simulated=simulated)

    def _request(self, spec: ShareSpec, caller: Caller, program: str = "") -> Request:
        self._lifetime.require_staying()
        tenant = self._tenant_of(caller, spec.tenant)
        now = self._clock.now()
        _check_time(spec, now)
        names.check_texts(spec)
        return Request(
            spec=spec,
            uid=caller.uid,
            tenant=tenant,
            asked=now,
            program=printable(program, longest=_LONGEST_PROGRAM),
        )

    def _early(self, spec: ShareSpec) -> bool:
        return spec.at is not None and spec.at > self._clock.now()

    def _check(self, new: Request, *, may_wait: bool) -> None:
        if may_wait:
            self._placement.check(new)
            return
        outcome = self._placement.outcome(new)
        if isinstance(outcome, Waiting) and not self._placement.reclaimable(new):
            raise _full(outcome.waits_for)

    async def _withdraw(self, share_id: ShareId) -> None:
        """Others were to give room back for it, and could not do so at once."""
        share = self._store.shares.get(share_id)
        if share.state is not State.QUEUED or share_id in self._executor.busy():
            return
        waits = self._placement.waiting().get(share_id)
        await self._executor.release(share, State.RELEASED, "it may not wait")
        raise _full(waits.waits_for if waits else "others")

    def _add(
        self,
        request: CreateRequest,
        new: Request,
        caller: Caller,
        bounds: Bounds,
        booking: Decision | None,
    ) -> Share:
        taken = self._store.shares.names(caller.uid)
        name = new.spec.name
        share = Share(
            id=ShareId(secrets.token_hex(6)),
            name=names.checked(name) if name else names.after_program(request.program, taken),
            spec=new.spec,
            tenant=new.tenant,
            uid=caller.uid,
            gid=caller.gid,
            state=State.QUEUED,
            created=self._clock.now(),
            holder=bounds.holder,
            log=request.log,
            supervised=request.supervised,
            forget=request.forget,
            waiter=bounds.waiter,
            program=new.program,
            booking=booking,
        )
        with self._store.transaction():
            self._store.shares.add(share)
            kind, message = _event(share)
            self._bus.publish(kind, message, share=share.id)
        # A pidfd wakes the loop when the holder ends, so that its place in the queue is free at
        # once.
        if bounds.holder:
            self._processes.watch_holder(bounds.holder)
        elif bounds.waiter:
            self._processes.watch(bounds.waiter)
        return share


def _check_time(spec: ShareSpec, now: datetime) -> None:
    """Raises BadSpecError for a time that is over. One that has just come means now."""
    if spec.at is None or spec.at > now - _JUST_COME:
        return
    raise BadSpecError(
        "the time to begin is in the past",
        f"{spec.at.isoformat(timespec='minutes')} is over, now it is "
        f"{now.isoformat(timespec='minutes')}",
        "leave out --at to begin now",
    )


def _event(share: Share) -> tuple[str, str]:
    if share.booking is None or share.spec.at is None:
        return "share.queued", f"requested by {share.tenant}"
    begins = share.spec.at.isoformat(timespec="minutes")
    return "share.reserved", f"from {begins} on {', '.join(share.booking.gpus)}"


def _full(waits_for: str) -> NoCapacityError:
    return NoCapacityError(
        "the share does not fit now",
        f"it would wait for {waits_for}",
        "to queue it, leave out --no-wait",
    )
