# SPDX-License-Identifier: Apache-2.0
"""The rules of a machine, and what they come to, as the API shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from gpushare.model.ids import Tenant
from gpushare.model.share import Caller
from gpushare.model.value import Value

from .tenant import Amount, Policy, TenantSpec


class PolicyView(Value):
    """The policy in force; `revision` 0: none was applied yet. `by`: a user's name."""

    policy: Policy = Policy()
    revision: int = 0
    by: str = ""
    at: datetime | None = None


class Change(Value):
    """One difference, in the words of the policy file; None: not there."""

    path: str
    before: Any = None
    after: Any = None


class PolicyChange(Value):
    """What putting a policy changes, or would change, and what about it looks wrong."""

    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    revision: int = 0


class TenantView(Value):
    name: Tenant
    spec: TenantSpec


class QuotaView(Value):
    """What one tenant may have and has, its children's included.

    `used` and `borrowed` (of `used`, above what is guaranteed) are now; `hours`: GPU hours within
    the policy's period; `usage`: GPU hours that have lost half of their weight with each half-life.
    `shares` counts waiting ones too. `named` false: a user in no tenant, so `default` applies.
    """

    tenant: Tenant
    parent: Tenant | None
    named: bool
    weight: int
    guaranteed: Amount
    limit: Amount
    used: Amount
    borrowed: Amount
    gpu_hours: float | None
    hours: float
    usage: float
    max_shares: int | None
    shares: int


class PolicyList(Value):
    items: tuple[PolicyView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class TenantList(Value):
    items: tuple[TenantView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815


class QuotaList(Value):
    items: tuple[QuotaView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815


class RulesService(Protocol):
    """Part of `model.service.Service`. Users who are not operators see what concerns them.

    `revision`: the one that the change was made from, ConflictError when it is no longer in force.
    `dry`: say what would change, and change nothing. A tenant called `default` is what holds for
    users in no tenant. Changes raise RoleError, PolicyError, NoSuchTenantError.
    """

    async def policy(self, caller: Caller) -> PolicyView: ...

    async def policies(self, caller: Caller) -> Sequence[PolicyView]:
        """The newest hundred, newest first."""
        ...

    async def put(
        self, policy: Policy, caller: Caller, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange: ...

    async def tenants(self, caller: Caller) -> Sequence[TenantView]: ...

    async def put_tenant(
        self, name: Tenant, spec: TenantSpec, caller: Caller, *, revision: int | None = None
    ) -> PolicyChange: ...

    async def remove_tenant(self, name: Tenant, caller: Caller) -> PolicyChange: ...

    async def quotas(self, caller: Caller) -> Sequence[QuotaView]: ...
