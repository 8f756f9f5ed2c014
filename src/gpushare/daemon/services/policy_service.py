# SPDX-License-Identifier: Apache-2.0
"""Implements `RulesService` of `model.policy.view`: shows the policy and changes it."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.access.accounts import AccountDirectory
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.policies import policy_checks, quotas
from gpushare.daemon.present.views import user_name
from gpushare.hardware.ports import Clock
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.errors import ConflictError, GpushareError
from gpushare.model.ids import Tenant
from gpushare.model.policy.form import differences
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.policy.view import PolicyChange, PolicyView, QuotaView, TenantView
from gpushare.model.share import Caller
from gpushare.scheduler import Snapshot
from gpushare.store import Store

_SHOWN = 100  # newest policies


class DaemonPolicy:
    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        *,
        access: Access,
        directory: AccountDirectory,
        mechanisms: Mechanisms,
        machine: ObservedMachine,
        placement: PlacementService,
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._access, self._directory, self._mechanisms = access, directory, mechanisms
        self._machine, self._placement = machine, placement

    def tenant_of(self, caller: Caller, requested: Tenant | None) -> Tenant:
        """The tenant of a share of the caller; raises NoSuchTenantError, RoleError."""
        return policy_checks.tenant_of(
            self._store.policy.current(),
            *self._names(caller),
            requested,
            operator=self._access.all(caller),
        )

    async def policy(self, caller: Caller) -> PolicyView:  # noqa: ARG002 (the API checks the role)
        return self._store.policy.newest()

    async def policies(self, caller: Caller) -> Sequence[PolicyView]:  # noqa: ARG002
        return self._store.policy.history(_SHOWN)

    async def put(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """Replace the policy.

        `dry`: only say what would change. Raises ConflictError, PolicyError.
        """
        return self._set(policy, caller, revision=revision, dry=dry)

    async def tenants(self, caller: Caller) -> Sequence[TenantView]:
        """Operators see all, others their own and those above them."""
        policy = self._store.policy.current()
        visible = self._visible_to(caller)
        return [
            TenantView(name=name, spec=policy.tenants[name])
            for name in quotas.in_tree(policy)
            if visible is None or name in visible
        ]

    async def put_tenant(
        self, name: Tenant, spec: TenantSpec, caller: Caller, *, revision: int | None = None
    ) -> PolicyChange:
        """Make or replace one tenant, `default` for users in none.

        Raises ConflictError, PolicyError.
        """
        now = self._store.policy.current()
        if name == policy_checks.DEFAULT:
            return self._set(replace(now, default=spec), caller, revision=revision)
        tenants = {**now.tenants, name: spec}
        return self._set(replace(now, tenants=tenants), caller, revision=revision)

    async def remove_tenant(self, name: Tenant, caller: Caller) -> PolicyChange:
        """Raises NoSuchTenantError, and PolicyError while others are below it."""
        now = self._store.policy.current()
        return self._set(replace(now, tenants=policy_checks.without(now, name)), caller)

    async def quotas(self, caller: Caller) -> Sequence[QuotaView]:
        """Of the tenants that the caller may see; raises HardwareError."""
        await self._machine.refresh()
        now, policy = self._clock.now(), self._store.policy.current()
        living = self._store.shares.living()
        state = Snapshot(
            machine=self._machine.latest,
            shares=tuple(share for share in living if share.state.holds),
            promises=self._mechanisms.promises(),
            policy=policy,
            now=now,
        )
        visible = self._visible_to(caller)
        views = quotas.quotas(
            state,
            living,
            within=self._store.usage.within(now, policy.period),
            decayed=self._store.usage.decayed(now, policy.half_life),
            also=visible or (),
        )
        return [it for it in views if visible is None or it.tenant in visible]

    def _set(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """Serve the queue under the new policy; a later pass reports errors of single shares."""
        change = self._put(policy, caller, revision=revision, dry=dry)
        if change.changes and not dry:
            # The policy is in force already; an error of one share must not look as if it were
            # refused.
            with suppress(GpushareError):
                self._placement.advance()
        return change

    def _put(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """A policy without changes is not stored, so the history holds changes only."""
        now = self._store.policy.newest()
        # Two administrators must not overwrite each other unseen (ADR 0023).
        if revision is not None and revision != now.revision:
            raise ConflictError(
                "the policy has changed meanwhile",
                f"it is revision {now.revision} by {now.by}, not {revision}",
                "see it with gpushare export, and try again",
            )
        policy_checks.check(policy, now.policy, self._machine.latest)
        changes = differences(now.policy, policy)
        warnings = (*policy_checks.warnings(policy, now.policy), *self._left_behind(policy))
        if changes and not dry:
            now = self._store.policy.put(policy, user_name(caller.uid), self._clock.now())
            self._bus.publish("policy.changed", f"revision {now.revision} by {now.by}")
        return PolicyChange(changes=changes, warnings=warnings, revision=now.revision)

    def _left_behind(self, policy: Policy) -> Iterator[str]:
        """What happens to the shares of tenants that are removed."""
        before = self._store.policy.current()
        living = Counter(share.tenant for share in self._store.shares.living())
        for name in sorted(before.tenants.keys() - policy.tenants.keys()):
            if living[name]:
                yield (
                    f"tenant {name} is removed: {living[name]} of its shares keep its name, "
                    "and count as those of a user in no tenant"
                )

    def _visible_to(self, caller: Caller) -> set[Tenant] | None:
        """The caller's tenants and those above them; None: all."""
        if self._access.all(caller):
            return None
        policy = self._store.policy.current()
        own = policy_checks.tenants_of(policy, *self._names(caller))
        return {above for tenant in own for above in policy.line(tenant)}

    def _names(self, caller: Caller) -> tuple[str, Collection[str]]:
        """The user's name, and the names of all their groups."""
        account = self._directory.by_uid(caller.uid)
        return (account.name, account.groups) if account else (user_name(caller.uid), ())
