# SPDX-License-Identifier: Apache-2.0
"""Implements `model.policy_view.RulesService`: shows the rules and changes them."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from msgspec.structs import replace

from gpushare.daemon.access.access import Access
from gpushare.daemon.access.accounts import AccountDirectory, SystemDirectory
from gpushare.daemon.loop.core import Core
from gpushare.daemon.policies import policy_checks, quotas
from gpushare.daemon.present.views import user_name
from gpushare.model.errors import ConflictError, GpushareError
from gpushare.model.ids import Tenant
from gpushare.model.policy.form import differences
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.policy.view import PolicyChange, PolicyView, QuotaView, TenantView
from gpushare.model.share import Caller
from gpushare.scheduler import Snapshot

_SHOWN = 100  # newest policies


class DaemonPolicy:
    def __init__(
        self, core: Core, access: Access, directory: AccountDirectory | None = None
    ) -> None:
        self._core, self._access = core, access
        self._directory = directory or SystemDirectory()
        self._store, self._clock = core.store, core.ports.clock

    def tenant_of(self, caller: Caller, wanted: Tenant | None) -> Tenant:
        """Whose a share of the caller's is; raises NoSuchTenantError, RoleError."""
        return policy_checks.tenant_of(
            self._store.policy.current(),
            *self._names(caller),
            wanted,
            operator=self._access.all(caller),
        )

    async def policy(self, caller: Caller) -> PolicyView:  # noqa: ARG002 (who may is the API's)
        return self._store.policy.newest()

    async def policies(self, caller: Caller) -> Sequence[PolicyView]:  # noqa: ARG002
        return self._store.policy.history(_SHOWN)

    async def put(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        async with self._core.turn:
            return await self._set(policy, caller, revision=revision, dry=dry)

    async def tenants(self, caller: Caller) -> Sequence[TenantView]:
        policy = self._store.policy.current()
        mine = self._seen_by(caller)
        return [
            TenantView(name=name, spec=policy.tenants[name])
            for name in quotas.in_tree(policy)
            if mine is None or name in mine
        ]

    async def put_tenant(
        self, name: Tenant, spec: TenantSpec, caller: Caller, *, revision: int | None = None
    ) -> PolicyChange:
        async with self._core.turn:
            now = self._store.policy.current()
            if name == policy_checks.DEFAULT:
                return await self._set(replace(now, default=spec), caller, revision=revision)
            tenants = {**now.tenants, name: spec}
            return await self._set(replace(now, tenants=tenants), caller, revision=revision)

    async def remove_tenant(self, name: Tenant, caller: Caller) -> PolicyChange:
        async with self._core.turn:
            now = self._store.policy.current()
            return await self._set(replace(now, tenants=policy_checks.without(now, name)), caller)

    async def quotas(self, caller: Caller) -> Sequence[QuotaView]:
        await self._core.placement.refresh()
        now, policy = self._clock.now(), self._store.policy.current()
        living = self._store.shares.living()
        state = Snapshot(
            machine=self._core.placement.machine,
            shares=tuple(share for share in living if share.state.holds),
            promises=self._core.ports.mechanisms.promises(),
            policy=policy,
            now=now,
        )
        mine = self._seen_by(caller)
        found = quotas.quotas(
            state,
            living,
            within=self._store.usage.within(now, policy.period),
            decayed=self._store.usage.decayed(now, policy.half_life),
            also=mine or (),
        )
        return [one for one in found if mine is None or one.tenant in mine]

    async def _set(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """Those who wait are looked at anew; what goes wrong with one of them a pass will tell."""
        change = self._put(policy, caller, revision=revision, dry=dry)
        if change.changes and not dry:
            with suppress(GpushareError):
                await self._core.placement.advance()
        return change

    def _put(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """What is as it was is not put again, so the history tells changes only."""
        now = self._store.policy.newest()
        if revision is not None and revision != now.revision:
            raise ConflictError(
                "the policy has changed meanwhile",
                f"it is revision {now.revision} by {now.by}, not {revision}",
                "look at it, and try again: gpushare export",
            )
        policy_checks.check(policy, now.policy, self._core.placement.machine)
        changes = differences(now.policy, policy)
        warnings = (*policy_checks.warnings(policy, now.policy), *self._left_behind(policy))
        if changes and not dry:
            now = self._store.policy.put(policy, user_name(caller.uid), self._clock.now())
            self._core.bus.publish("policy.changed", f"revision {now.revision} by {now.by}")
        return PolicyChange(changes=changes, warnings=warnings, revision=now.revision)

    def _left_behind(self, policy: Policy) -> Iterator[str]:
        """What becomes of the shares of tenants that go."""
        before = self._store.policy.current()
        living = Counter(share.tenant for share in self._store.shares.living())
        for name in sorted(before.tenants.keys() - policy.tenants.keys()):
            if living[name]:
                yield (
                    f"tenant {name} goes: {living[name]} of its shares go on under its name, "
                    "and count as those of a user in no tenant"
                )

    def _seen_by(self, caller: Caller) -> set[Tenant] | None:
        """The caller's tenants and those above them; None: all."""
        if self._access.all(caller):
            return None
        policy = self._store.policy.current()
        mine = policy_checks.mine(policy, *self._names(caller))
        return {above for tenant in mine for above in policy.line(tenant)}

    def _names(self, caller: Caller) -> tuple[str, Collection[str]]:
        """Of the user, and of all groups that he is in."""
        account = self._directory.by_uid(caller.uid)
        return (account.name, account.groups) if account else (user_name(caller.uid), ())
