# SPDX-License-Identifier: Apache-2.0
"""New shares: whose they are, whether they may wait, and where a reservation will land."""

import secrets
from collections.abc import Callable

from gpushare.daemon.loop.core import Core
from gpushare.daemon.placement import names
from gpushare.model.errors import NoCapacityError
from gpushare.model.ids import ShareId, Tenant
from gpushare.model.share import Caller, Decision, ProcessRef, Share, State
from gpushare.model.spec import ShareSpec
from gpushare.model.view import CreateRequest, Plan
from gpushare.scheduler import Request, Waiting

TenantOf = Callable[[Caller, Tenant | None], Tenant]


class Admission:
    """`tenant_of`: whose a share of a caller is. Who takes in has the daemon's turn."""

    def __init__(self, core: Core, tenant_of: TenantOf) -> None:
        self._core, self._tenant_of = core, tenant_of
        self._store, self._placement, self._clock = core.store, core.placement, core.ports.clock

    async def take(
        self, request: CreateRequest, caller: Caller, holder: ProcessRef | None
    ) -> ShareId:
        """A new share, granted, booked or waiting; NoCapacityError where it may not wait."""
        await self._placement.refresh()
        asked = self._asked(request.spec, caller, request.program)
        booking = self._placement.book(asked) if self._early(request.spec) else None
        if booking is None:
            self._check(asked, may_wait=request.wait)
        share = self._add(request, asked, caller, holder, booking)
        await self._placement.advance()
        await self._withdraw(share, may_wait=request.wait or booking is not None)
        return share.id

    async def plan(self, spec: ShareSpec, caller: Caller) -> Plan:
        """What would happen now; raises as `take` does."""
        await self._placement.refresh()
        asked = self._asked(spec, caller)
        early = self._early(spec)
        outcome = self._placement.book(asked) if early else self._placement.outcome(asked)
        simulated = any(gpu.simulated for gpu in self._placement.machine.gpus)
        if isinstance(outcome, Waiting):
            return Plan(decision=None, waits_for=outcome.waits_for, simulated=simulated)
        return Plan(decision=outcome, simulated=simulated)

    def _asked(self, spec: ShareSpec, caller: Caller, program: str = "") -> Request:
        tenant = self._tenant_of(caller, spec.tenant)
        now = self._clock.now()
        return Request(spec=spec, uid=caller.uid, tenant=tenant, asked=now, program=program)

    def _early(self, spec: ShareSpec) -> bool:
        return spec.at is not None and spec.at > self._clock.now()

    def _check(self, asked: Request, *, may_wait: bool) -> None:
        outcome = self._placement.outcome(asked)
        if may_wait or not isinstance(outcome, Waiting) or self._placement.reclaimable(asked):
            return
        raise _full(outcome.waits_for)

    async def _withdraw(self, share: Share, *, may_wait: bool) -> None:
        """Others were to give back what it needs, and could not do so at once."""
        if may_wait or self._store.shares.get(share.id).state is not State.QUEUED:
            return
        waits = self._placement.waiting().get(share.id)
        await self._core.executor.release(share, State.RELEASED, "it was not to wait")
        raise _full(waits.waits_for if waits else "others")

    def _add(
        self,
        request: CreateRequest,
        asked: Request,
        caller: Caller,
        holder: ProcessRef | None,
        booking: Decision | None,
    ) -> Share:
        taken = self._store.shares.names()
        name = asked.spec.name
        share = Share(
            id=ShareId(secrets.token_hex(6)),
            name=names.checked(name) if name else names.after_program(request.program, taken),
            spec=asked.spec,
            tenant=asked.tenant,
            uid=caller.uid,
            gid=caller.gid,
            state=State.QUEUED,
            created=self._clock.now(),
            holder=holder,
            log=request.log,
            program=request.program,
            booking=booking,
        )
        with self._store.transaction():
            self._store.shares.add(share)
            kind, said = _told(share)
            self._core.bus.publish(kind, said, share=share.id)
        if holder:
            self._core.members.watch(share, holder)
        return share


def _told(share: Share) -> tuple[str, str]:
    if share.booking is None or share.spec.at is None:
        return "share.queued", f"asked by {share.tenant}"
    begins = share.spec.at.isoformat(timespec="minutes")
    return "share.reserved", f"from {begins} on {', '.join(share.booking.gpus)}"


def _full(waits_for: str) -> NoCapacityError:
    return NoCapacityError(
        "the share does not fit now",
        f"it would wait for {waits_for}",
        "queue it: leave out --no-wait",
    )
