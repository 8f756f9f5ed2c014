# SPDX-License-Identifier: Apache-2.0
"""Tenants, quotas and changes of the policy in words; options that set quotas."""

import json
from collections.abc import Iterable, Mapping, Sequence

import click

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount
from gpushare.model.policy.view import Change, PolicyChange, QuotaView, TenantView
from gpushare.model.units import format_bytes

from .output import Column, Output, Table, aligned

NONE = "-"


def changed(found: PolicyChange, output: Output, name: str) -> None:
    """Tell what has changed, or would."""
    warn(found)
    output.item(found, name, lambda: "\n".join(map(line, found.changes)) or "nothing to change")


def warn(found: PolicyChange) -> None:
    for warning in found.warnings:
        click.echo(f"gpushare: {warning}", err=True)


def line(change: Change) -> str:
    """`~ half_life: "7d" -> "14d"`."""
    before, after = (json.dumps(v, ensure_ascii=False) for v in (change.before, change.after))
    if change.before is None:
        return f"+ {change.path} = {after}"
    if change.after is None:
        return f"- {change.path} = {before}"
    return f"~ {change.path}: {before} -> {after}"


def tenant_table(found: Iterable[TenantView]) -> Table[TenantView]:
    depths = _depths({one.name: one.spec.parent for one in found})
    return Table(
        lambda one: one.name,
        Column("TENANT", lambda one: _indented(one.name, depths)),
        Column("USERS", lambda one: _listed(one.spec.users)),
        Column("GROUPS", lambda one: _listed(one.spec.groups)),
        Column("WEIGHT", lambda one: str(one.spec.weight)),
        Column("GUARANTEED", lambda one: amount(one.spec.guaranteed)),
        Column("LIMIT", lambda one: amount(one.spec.limit)),
        Column("GPU HOURS", lambda one: _figure_or_none(one.spec.gpu_hours)),
        Column("SHARES", lambda one: _figure_or_none(one.spec.shares)),
    )


def quota_table(found: Iterable[QuotaView]) -> Table[QuotaView]:
    depths = _depths({one.tenant: one.parent for one in found})
    return Table(
        lambda one: one.tenant,
        Column("TENANT", lambda one: _indented(one.tenant, depths)),
        Column("GUARANTEED", lambda one: amount(one.guaranteed)),
        Column("LIMIT", lambda one: amount(one.limit)),
        Column("USED", lambda one: amount(one.used)),
        Column("BORROWED", lambda one: amount(one.borrowed)),
        Column("GPU HOURS", lambda one: _of(f"{one.hours:.1f}", one.gpu_hours)),
        Column("USAGE", lambda one: f"{one.usage:.1f}"),
        Column("SHARES", lambda one: _of(str(one.shares), one.max_shares)),
        Column("WEIGHT", lambda one: str(one.weight), wide=True),
    )


def tenant_details(one: TenantView) -> str:
    spec = one.spec
    rows = [
        ("tenant", one.name),
        ("parent", spec.parent or NONE),
        ("users", _listed(spec.users)),
        ("groups", _listed(spec.groups)),
        ("weight", str(spec.weight)),
        ("guaranteed", amount(spec.guaranteed)),
        ("limit", amount(spec.limit)),
        ("gpu hours", _figure_or_none(spec.gpu_hours)),
        ("shares", _figure_or_none(spec.shares)),
    ]
    return aligned(rows)


def amount(found: Amount) -> str:
    """`40 GiB, 150%`; what is not said, or nothing, is left out."""
    said = [format_bytes(found.memory)] if found.memory else []
    said += [f"{found.compute}%"] if found.compute else []
    return ", ".join(said) or NONE


def _of(used: str, most: float | None) -> str:
    return used if most is None else f"{used} / {most:g}"


def _figure_or_none(value: float | None) -> str:
    return NONE if value is None else f"{value:g}"


def _listed(found: Sequence[str]) -> str:
    return ",".join(found) or NONE


def _depths(parents: Mapping[Tenant, Tenant | None]) -> dict[Tenant, int]:
    """How far down the tree each stands; a parent comes before its children."""
    depths: dict[Tenant, int] = {}
    for name, parent in parents.items():
        depths[name] = 0 if parent is None else depths.get(parent, -1) + 1
    return depths


def _indented(name: Tenant, depths: Mapping[Tenant, int]) -> str:
    return "  " * depths.get(name, 0) + name
