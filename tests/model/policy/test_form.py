# SPDX-License-Identifier: Apache-2.0
"""The policy as people write it."""

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.config.policy_file import Syntax, read, written
from gpushare.model.errors import PolicyError
from gpushare.model.ids import Tenant
from gpushare.model.policy.form import _QUANTITIES, differences, document, policy
from gpushare.model.policy.tenant import (
    Amount,
    IdleAct,
    IdlePolicy,
    Placement,
    Policy,
    Rung,
    SizingPolicy,
    TenantSpec,
    Visibility,
)
from gpushare.model.policy.view import Change
from gpushare.model.units import GIB, Bytes, Percent, Seconds

TRICKY = ("limit", "guaranteed", "tenant", "default", "a.b", '"', "no", "1", "~", "#", "é", "\x7f")
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(TRICKY)
lists = st.lists(names, max_size=3).map(tuple)
amounts = st.builds(
    Amount,
    memory=st.none() | st.integers(0, 2**63 - 1),
    compute=st.none() | st.integers(0, 1600),
)
specs = st.builds(
    TenantSpec,
    users=lists,
    groups=lists,
    guaranteed=amounts,
    limit=amounts,
    gpu_hours=st.none() | st.floats(0, 1e6) | st.integers(0, 10**6).map(float),
    shares=st.none() | st.integers(0, 1000),
    weight=st.integers(1, 1000),
)


def seconds(least: int) -> st.SearchStrategy[int]:
    return st.integers(least, 10**8)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Each tenant is below none, or below one that comes before it."""
    tenants: dict[Tenant, TenantSpec] = {}
    for name in draw(st.lists(names, max_size=4, unique=True)):
        parent = draw(st.none() | st.sampled_from([*tenants])) if tenants else None
        tenants[Tenant(name)] = msgspec.structs.replace(draw(specs), parent=parent)
    ladder = draw(st.lists(st.sampled_from(Rung), max_size=4).map(tuple))
    parts = {
        "default": specs,
        "placement": st.sampled_from(Placement),
        "half_life": seconds(60),
        "period": seconds(3600),
        "min_runtime": seconds(0),
        "patience": seconds(0),
        "visibility": st.sampled_from(Visibility),
        "idle": st.builds(IdlePolicy, after=st.none() | seconds(60), act=st.sampled_from(IdleAct)),
        "sizing": st.builds(
            SizingPolicy,
            grow=st.booleans(),
            shrink=st.booleans(),
            grow_to=st.floats(1, 10),
            watch=seconds(60),
        ),
    }
    return Policy(tenants=tenants, ladder=ladder, **draw(st.fixed_dictionaries(parts)))


@given(wanted=policies(), syntax=st.sampled_from(Syntax))
def test_what_is_written_is_read_back(wanted, syntax):
    assert read(written(wanted, syntax), syntax, "file") == wanted


@given(before=policies(), after=policies())
def test_differences_are_there_exactly_when_something_differs(before, after):
    assert bool(differences(before, after)) == (before != after)
    assert differences(after, after) == ()


def rules(**keys) -> dict:
    return {"apiVersion": "v1", **keys}


def test_quantities_are_read_as_people_write_them():
    found = policy(
        rules(
            half_life="14d",
            period=86400,
            idle={"after": "30m"},
            tenant={"lab": {"guaranteed": {"memory": "1.5GiB", "compute": "250%"}, "gpu_hours": 7}},
        )
    )

    spec = found.tenants[Tenant("lab")]
    assert (found.half_life, found.period, found.idle.after) == (14 * 86400, 86400, 1800)
    assert spec.guaranteed == Amount(memory=Bytes(3 * GIB // 2), compute=Percent(250))
    assert spec.gpu_hours == 7.0


def test_quantities_are_written_in_the_largest_unit_that_fits():
    spec = TenantSpec(limit=Amount(memory=Bytes(1536 * 1024**2)), gpu_hours=12.5)
    found = document(Policy(tenants={Tenant("a"): spec}, half_life=Seconds(90)))

    assert found["half_life"] == "90s"
    assert found["tenant"]["a"] == {"limit": {"memory": "1536MiB"}, "gpu_hours": 12.5}


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({}, "apiVersion is None"),
        (rules(halflife="7d"), "unknown key 'halflife'"),
        (rules(tenants={}), "unknown key 'tenants'"),
        (rules(tenant=[]), "cannot use tenant"),
        (rules(tenant={3: {}}), "cannot name a tenant 3"),
        (rules(tenant={"a": {"guaranted": {}}}), "unknown key 'guaranted' of tenant.a"),
        (rules(tenant={"a": {"limit": 3}}), "cannot use tenant.a.limit"),
        (rules(tenant={"a": {"limit": {"memory": "20%"}}}), "cannot use tenant.a.limit.memory"),
        (rules(tenant={"a": {"limit": {"memory": True}}}), "cannot use tenant.a.limit.memory"),
        (rules(tenant={"a": {"limit": {"memory": -1}}}), "cannot use tenant.a.limit.memory"),
        (rules(tenant={"a": {"limit": {"compute": 0.5}}}), "cannot use tenant.a.limit.compute"),
        (
            rules(tenant={"a": {"limit": {"compute": "9" * 50}}}),
            "cannot use tenant.a.limit.compute",
        ),
        (rules(tenant={"a": {"limit": {"gpu": 1}}}), "unknown key 'gpu' of tenant.a.limit"),
        (rules(tenant={"a": {"gpu_hours": float("nan")}}), "cannot use tenant.a.gpu_hours"),
        (rules(tenant={"a": {"gpu_hours": float("inf")}}), "cannot use tenant.a.gpu_hours"),
        (rules(tenant={"a": {"gpu_hours": "5"}}), "cannot use tenant.a.gpu_hours"),
        (rules(tenant={"a": {"weight": 0}}), "cannot use tenant.a.weight"),
        (rules(tenant={"a": {"users": "ana"}}), "cannot use tenant.a.users"),
        (rules(tenant={"a": {"users": ["ana", 3]}}), "cannot use tenant.a.users[1]"),
        (rules(tenant={"a.b": {"weight": 0}}), 'cannot use tenant."a.b".weight'),
        (rules(tenant={"a": {"parent": "b"}}), "tenant a has the parent b"),
        (rules(tenant={"a": {"parent": "a"}}), "tenant a is below itself"),
        (rules(default={"parent": "b"}), "default has the parent b"),
        (rules(half_life="7 weeks"), "cannot use half_life"),
        (rules(half_life=59), "cannot use half_life"),
        (rules(half_life="9" * 30 + "d"), "cannot use half_life"),
        (rules(ladder=["kill"]), "cannot use ladder[0]"),
        (rules(sizing={"grow_to": 11}), "cannot use sizing.grow_to"),
        (rules(idle={"act": "evict"}), "cannot use idle.act"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(found, what):
    with pytest.raises(PolicyError) as caught:
        policy(found)
    assert caught.value.what == what


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("half_life = 7d", Syntax.TOML),
        ("a = 1\na = 2", Syntax.TOML),
        ("apiVersion: v1\napiVersion: v1", Syntax.YAML),
        ("tenant: {a: {weight: 1}, a: {weight: 2}}", Syntax.YAML),
        ("a: [", Syntax.YAML),
        ("- 1", Syntax.YAML),
        ("", Syntax.YAML),
        ('{"a": 1, "a": 2}', Syntax.JSON),
        ("[" * 100_000, Syntax.JSON),
        ("[]", Syntax.JSON),
    ],
)
def test_text_that_is_no_policy_is_refused_with_its_origin(text, syntax):
    with pytest.raises(PolicyError, match=r"^rules\.file: "):
        read(text, syntax, "rules.file")


@given(text=st.text(max_size=60), syntax=st.sampled_from(Syntax))
def test_any_other_text_is_refused_too(text, syntax):
    with pytest.raises(PolicyError):
        read(text, syntax, "file")


def test_a_change_names_what_was_and_what_is():
    before = Policy(tenants={Tenant("a"): TenantSpec(), Tenant("b"): TenantSpec(shares=3)})
    spec = TenantSpec(limit=Amount(memory=Bytes(GIB)))
    after = Policy(tenants={Tenant("a"): spec, Tenant("c"): TenantSpec()}, patience=Seconds(60))

    assert differences(before, after) == (
        Change(path="patience", before="1h", after="1m"),
        Change(path="tenant.a.limit.memory", before=None, after="1GiB"),
        Change(path="tenant.b", before={"shares": 3}, after=None),
        Change(path="tenant.c", before=None, after={}),
    )


def test_every_quantity_of_a_policy_is_read_as_one():
    """A field of a unit that people write otherwise needs its reader."""
    kinds = {"Bytes", "Percent", "Seconds"}
    fields = {
        name
        for kind in (Policy, TenantSpec, Amount, IdlePolicy, SizingPolicy)
        for name, hint in typing.get_type_hints(kind).items()
        if any(unit in str(hint) for unit in kinds)
    }

    assert fields <= _QUANTITIES.keys()
