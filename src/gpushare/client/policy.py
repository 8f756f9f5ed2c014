# SPDX-License-Identifier: Apache-2.0
"""Calls about tenants, quotas and the policy."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from gpushare.model.errors import NoSuchTenantError
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.policy.view import (
    PolicyChange,
    PolicyList,
    PolicyView,
    QuotaList,
    QuotaView,
    TenantList,
    TenantView,
)

from .paths import segment

DEFAULT = Tenant("default")  # applies to users in no tenant
_SECONDS = 60.0


class PolicyCalls:
    """`call` is `Client._call`: method, target and the answer's type. Raises as the client does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = partial(call, timeout=_SECONDS)

    def policy(self) -> PolicyView:
        """The policy in force with its revision, author and time; for operators."""
        view: PolicyView = self._call("GET", "/v1/policy", PolicyView)
        return view

    def policies(self) -> Sequence[PolicyView]:
        """The newest hundred, newest first."""
        page: PolicyList = self._call("GET", "/v1/policies", PolicyList)
        return page.items

    def put(
        self, policy: Policy, *, revision: int | None = None, dry: bool = False
    ) -> PolicyChange:
        """Set the policy. Raises PolicyError, RoleError, and ConflictError if it has changed since
        `revision`. `dry`: change nothing, and return what would change.
        """
        query = {**_revision(revision), **({"dry": "true"} if dry else {})}
        change: PolicyChange = self._call(
            "PUT", "/v1/policy", PolicyChange, query=query, body=policy
        )
        return change

    def tenants(self) -> Sequence[TenantView]:
        """Each below its parent."""
        page: TenantList = self._call("GET", "/v1/tenants", TenantList)
        return page.items

    def tenant(self, name: str) -> TenantView:
        """A tenant, or `default`. Raises NoSuchTenantError."""
        if name == DEFAULT:
            return TenantView(name=DEFAULT, spec=self.policy().policy.default)
        for tenant in self.tenants():
            if tenant.name == name:
                return tenant
        raise NoSuchTenantError(
            f"no tenant {name!r}", "it does not exist, or it is not yours", "gpushare tenant ls"
        )

    def put_tenant(
        self, name: str, spec: TenantSpec, *, revision: int | None = None
    ) -> PolicyChange:
        """Create or replace a tenant; `default` applies to users in no tenant."""
        target, query = _tenant(name), _revision(revision)
        change: PolicyChange = self._call("PUT", target, PolicyChange, query=query, body=spec)
        return change

    def change_tenant(
        self, name: str, change: Callable[[TenantSpec], TenantSpec], *, new: bool = False
    ) -> PolicyChange:
        """Apply `change` to a tenant's spec; `new`: create the tenant if necessary."""
        current = self.policy()
        spec = current.policy.tenants.get(Tenant(name))
        if name == DEFAULT:
            spec = current.policy.default
        elif spec is None and not new:
            raise NoSuchTenantError(
                f"no tenant {name!r}", "it is not in the policy", f"gpushare tenant set {name}"
            )
        # With the revision, so that a change by another user in between is not overwritten.
        return self.put_tenant(name, change(spec or TenantSpec()), revision=current.revision)

    def remove_tenant(self, name: str) -> PolicyChange:
        """Remove a tenant. Its shares continue, and count as those of a user in no tenant."""
        change: PolicyChange = self._call("DELETE", _tenant(name), PolicyChange)
        return change

    def quotas(self) -> Sequence[QuotaView]:
        """Of the tenants that the caller may see, each below its parent."""
        page: QuotaList = self._call("GET", "/v1/quotas", QuotaList)
        return page.items


def with_tenants_of(new: Policy, current: Policy) -> Policy:
    """The new policy with the current tenants that it does not contain."""
    return replace(new, tenants={**current.tenants, **new.tenants})


def _revision(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"revision": str(revision)}


def _tenant(name: str) -> str:
    missing = NoSuchTenantError(
        f"no tenant {name!r}", "a name is not empty and has no slash", "gpushare tenant ls"
    )
    return f"/v1/tenants/{segment(name, missing)}"
