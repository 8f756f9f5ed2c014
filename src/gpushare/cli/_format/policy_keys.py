# SPDX-License-Identifier: Apache-2.0
"""The meaning of each key of a policy file. docs/reference/policy.md is generated from it."""

from collections.abc import Iterator

import msgspec

from gpushare.model.policy.form import TENANTS, document
from gpushare.model.policy.tenant import Amount, IdlePolicy, Policy, SizingPolicy, TenantSpec
from gpushare.model.value import Value


class PolicyKey(Value):
    """`default`: the value of a key that the file does not contain; empty: none."""

    table: str
    name: str
    default: str
    meaning: str


def policy_keys() -> Iterator[PolicyKey]:
    """Keys by table, in the order of the fields."""
    for table, kind in _TABLES.items():
        defaults = _defaults(kind)
        for name in kind.__struct_fields__:
            if name in MEANINGS[kind]:
                value = defaults.get(name)
                text = "" if value is None else msgspec.json.encode(value).decode()
                meaning = MEANINGS[kind][name]
                yield PolicyKey(table=table, name=name, default=text, meaning=meaning)


def _defaults(kind: type[Value]) -> dict[str, object]:
    """Defaults as `document` writes them. It omits them for tenants; amounts have none."""
    whole = document(Policy())
    defaults: dict[type[Value], dict[str, object]] = {
        Policy: whole,
        TenantSpec: {"weight": TenantSpec().weight},
        IdlePolicy: whole["idle"],
        SizingPolicy: whole["sizing"],
    }
    return defaults.get(kind, {})


_TABLES: dict[str, type[Value]] = {
    "": Policy,
    f"[{TENANTS}.NAME], [default]": TenantSpec,
    "guaranteed, limit": Amount,
    "[idle]": IdlePolicy,
    "[sizing]": SizingPolicy,
}
MEANINGS: dict[type[Value], dict[str, str]] = {
    Policy: {
        "placement": (
            "`pack` fills GPUs in use first, so that others stay free; `spread` takes the emptiest "
            "GPU first."
        ),
        "half_life": "Time after which used GPU time counts half in the order of the queue.",
        "period": "Time over which `gpu_hours` are counted.",
        "min_runtime": "Minimum time that a share runs before it can be reclaimed.",
        "patience": "Shares that wait longer than this go before others of their class.",
        "ladder": (
            "Allowed ways to reclaim borrowed room, gentlest first: `throttle`, `suspend`, "
            "`migrate`, `evict`."
        ),
        "shares_per_user": (
            "Maximum number of shares of one user, in all tenants, including queued shares. Root "
            "has no limit."
        ),
        "visibility": (
            "What users see of other users' shares: `occupied` (existence and size) or `shares` "
            "(the owner too)."
        ),
        "on_escape": (
            "What happens to a share when a limit of it does not hold: `report`, `suspend` (the "
            "processes that escaped are stopped; their memory stays) or `end` (the share ends)."
        ),
    },
    TenantSpec: {
        "parent": "The tenant that it is part of. Its quotas count within those of its parent.",
        "users": "Names of users that belong to it.",
        "groups": "Names of groups whose members belong to it.",
        "guaranteed": "What it always gets, reclaimed from borrowers if necessary.",
        "limit": "Maximum use at the same time.",
        "gpu_hours": "Maximum GPU hours within the period.",
        "shares": "Maximum number of shares, including queued ones.",
        "weight": "Weight among its siblings for room that is not guaranteed: 1 to 1000.",
    },
    Amount: {
        "memory": "Sum over all GPUs, such as `40GiB`, or bytes.",
        "compute": "Sum over all GPUs, in percent of one GPU: 250 is two and a half GPUs.",
    },
    IdlePolicy: {
        "after": "Time without GPU work after which a share is idle; absent: never.",
        "act": "What happens to idle shares: `notify`, `lower` (the priority) or `suspend`.",
    },
    SizingPolicy: {
        "grow": "Raise the memory limit by a quarter when a program comes close to it.",
        "shrink": "Lower memory requests to the observed peak plus a tenth.",
        "grow_to": "Maximum of a raised limit, as a multiple of the requested one: 1 to 10.",
        "watch": "How long a program is observed before its request is lowered.",
    },
}
