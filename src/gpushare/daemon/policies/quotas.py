# SPDX-License-Identifier: Apache-2.0
"""What each tenant may have and has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount, Policy
from gpushare.model.policy.view import QuotaView
from gpushare.model.share import Share
from gpushare.scheduler import Snapshot
from gpushare.scheduler.order.load import NOTHING, Load, held
from gpushare.scheduler.order.tenancy import rolled_up, tenancy

from .usage import rolled_up as summed

_HOUR = 3600


def quotas(
    state: Snapshot,
    living: Sequence[Share],
    *,
    within: Mapping[Tenant, float],
    decayed: Mapping[Tenant, float],
    also: Iterable[Tenant] = (),
) -> list[QuotaView]:
    """Parents before their children, by name; users in no tenant if they hold or used something.

    `within`, `decayed`: GPU seconds of each tenant alone. `also`: tenants to list anyway.
    """
    policy = state.policy
    used, borrowed = _loads(state)
    counts = _counts(policy, living)
    hours, usage = summed(policy, within), summed(policy, decayed)
    return [
        QuotaView(
            tenant=name,
            parent=policy.spec(name).parent,
            named=name in policy.tenants,
            weight=policy.spec(name).weight,
            guaranteed=policy.spec(name).guaranteed,
            limit=policy.spec(name).limit,
            used=_amount(used.get(name, NOTHING)),
            borrowed=_amount(borrowed.get(name, NOTHING)),
            gpu_hours=policy.spec(name).gpu_hours,
            hours=hours.get(name, 0.0) / _HOUR,
            usage=usage.get(name, 0.0) / _HOUR,
            max_shares=policy.spec(name).shares,
            shares=counts[name],
        )
        for name in in_tree(policy, (*counts, *hours, *also))
    ]


def in_tree(policy: Policy, others: Iterable[Tenant] = ()) -> list[Tenant]:
    """Every tenant below its parent, siblings by name; then users in no tenant, by name."""
    children: dict[Tenant | None, list[Tenant]] = {}
    for name in sorted({*policy.tenants, *others}):
        children.setdefault(policy.spec(name).parent, []).append(name)
    for siblings in children.values():
        siblings.sort(key=lambda name: (name not in policy.tenants, name))
    ordered: list[Tenant] = []
    waiting = children.get(None, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children.get(ordered[-1], [])[::-1]
    return ordered


def _loads(state: Snapshot) -> tuple[dict[Tenant, Load], dict[Tenant, Load]]:
    """What tenants hold, and what of it they have borrowed."""
    now, loads = tenancy(state), held(state)
    lent = ((s.tenant, loads[s.id]) for s in state.shares if s.id in now.borrowed)
    return now.held, rolled_up(state.policy, lent)


def _counts(policy: Policy, living: Iterable[Share]) -> Counter[Tenant]:
    return Counter(name for share in living for name in policy.line(share.tenant))


def _amount(load: Load) -> Amount:
    return Amount(memory=load.memory, compute=load.compute)
