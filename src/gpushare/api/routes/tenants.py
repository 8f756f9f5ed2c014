# SPDX-License-Identifier: Apache-2.0
"""Calls about tenants, their quotas, and the policy of the machine."""

from gpushare.api.route import Call, Route
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.policy.view import PolicyChange, PolicyList, PolicyView, QuotaList, TenantList
from gpushare.model.service import Service
from gpushare.model.value import Value


class ChangeQuery(Value):
    """`revision`: the policy that the change is based on; refused if it has changed since."""

    revision: int | None = None


class PutQuery(ChangeQuery):
    """`dry`: return what would change, and change nothing."""

    dry: bool = False


async def _policy(service: Service, call: Call) -> Value:
    return await service.rules.policy(call.caller)


async def _policies(service: Service, call: Call) -> Value:
    return PolicyList(items=tuple(await service.rules.policies(call.caller)))


async def _put(service: Service, call: Call) -> Value:
    query = call.query
    return await service.rules.put(call.body, call.caller, revision=query.revision, dry=query.dry)


async def _tenants(service: Service, call: Call) -> Value:
    return TenantList(items=tuple(await service.rules.tenants(call.caller)))


async def _put_tenant(service: Service, call: Call) -> Value:
    return await service.rules.put_tenant(
        Tenant(call.ref), call.body, call.caller, revision=call.query.revision
    )


async def _remove_tenant(service: Service, call: Call) -> Value:
    return await service.rules.remove_tenant(Tenant(call.ref), call.caller)


async def _quotas(service: Service, call: Call) -> Value:
    return QuotaList(items=tuple(await service.rules.quotas(call.caller)))


ROUTES = (
    Route("GET", "/v1/policy", "Show the policy and its author", _policy, PolicyView),
    Route("GET", "/v1/policies", "List the newest hundred policies, newest first", _policies,
          PolicyList),
    Route("PUT", "/v1/policy", "Set the policy; absent keys get their defaults",
          _put, PolicyChange, takes=Policy, query=PutQuery),
    Route("GET", "/v1/tenants", "List tenants, each below its parent", _tenants, TenantList),
    Route("PUT", "/v1/tenants/{ref}", "Create or replace a tenant; `default` is for users in none",
          _put_tenant, PolicyChange, takes=TenantSpec, query=ChangeQuery),
    Route("DELETE", "/v1/tenants/{ref}", "Remove a tenant; its shares continue", _remove_tenant,
          PolicyChange),
    Route("GET", "/v1/quotas", "Show quotas and use of tenants", _quotas, QuotaList),
)  # fmt: skip
