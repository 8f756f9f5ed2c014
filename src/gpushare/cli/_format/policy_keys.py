# SPDX-License-Identifier: Apache-2.0
"""Every key of a policy file in words; the reference is made from it."""

from collections.abc import Iterator

import msgspec

from gpushare.model.policy.form import TENANTS, document
from gpushare.model.policy.tenant import Amount, IdlePolicy, Policy, SizingPolicy, TenantSpec
from gpushare.model.value import Value


class PolicyKey(Value):
    """`usual`: its value when the file does not say; empty: none."""

    table: str
    name: str
    default: str
    meaning: str


def policy_keys() -> Iterator[PolicyKey]:
    """Table by table, in the order of the fields."""
    for table, kind in _TABLES.items():
        defaults = _defaults(kind)
        for name in kind.__struct_fields__:
            if name in MEANINGS[kind]:
                value = defaults.get(name)
                text = "" if value is None else msgspec.json.encode(value).decode()
                meaning = MEANINGS[kind][name]
                yield PolicyKey(table=table, name=name, default=text, meaning=meaning)


def _defaults(kind: type[Value]) -> dict[str, object]:
    """Tables of tenants are written without what is usual, and amounts have nothing usual."""
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
            "`pack` fills GPUs that are in use, so that others stay whole; `spread` takes the "
            "emptiest one first."
        ),
        "half_life": "After so long, GPU time that was used weighs half when shares wait.",
        "period": "What `gpu_hours` are counted over.",
        "min_runtime": "How long a share has its place before it can be taken back.",
        "patience": "A share that has waited longer goes before others of its class.",
        "ladder": (
            "What may be done to shares that have borrowed, gentlest first: `throttle`, "
            "`suspend`, `migrate`, `evict`."
        ),
        "visibility": (
            "What one sees of others' shares: `occupied`, that they are there and how large; "
            "`shares`, also whose they are."
        ),
    },
    TenantSpec: {
        "parent": "The tenant that it is part of, and within whose figures it stays.",
        "users": "Users who belong to it, by name.",
        "groups": "Groups whose members belong to it, by name.",
        "guaranteed": "What it gets back from whoever has borrowed it.",
        "limit": "The most it may have at once.",
        "gpu_hours": "The most GPU hours within the period.",
        "shares": "The most shares at once, waiting ones included.",
        "weight": "Its part of what nobody is guaranteed, against its siblings: 1 to 1000.",
    },
    Amount: {
        "memory": "Over all GPUs: `40GiB`, or bytes.",
        "compute": "Over all GPUs, in percent of one: 250 is two GPUs and a half.",
    },
    IdlePolicy: {
        "after": "How long a share uses no GPU time before something is done; absent: never.",
        "act": "`notify`, `lower` its priority, or `suspend`.",
    },
    SizingPolicy: {
        "grow": "Raise memory limits of programs near them, by a quarter.",
        "shrink": "Lower memory requests to the peak that was seen and a tenth more.",
        "grow_to": "How many times what was asked a limit may become: 1 to 10.",
        "watch": "How long a program is watched before its request is lowered.",
    },
}
