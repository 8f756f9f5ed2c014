# SPDX-License-Identifier: Apache-2.0
"""Tenants, quotas and changes of the policy as text for people."""

import json
from collections.abc import Iterable, Mapping, Sequence

import click

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount
from gpushare.model.policy.view import Change, PolicyChange, QuotaView, TenantView
from gpushare.model.units import format_bytes

from .fitting import described
from .output import Column, Output, Table

NONE = "-"


def changed(change: PolicyChange, output: Output, name: str) -> None:
    """Print what has changed, or would change."""
    warn(change)
    output.item(change, name, lambda: "\n".join(map(line, change.changes)) or "nothing to change")


def warn(change: PolicyChange) -> None:
    """On stderr, so that stdout has only the change."""
    for warning in change.warnings:
        click.echo(f"gpushare: {warning}", err=True)


def line(change: Change) -> str:
    """`~ half_life: "7d" -> "14d"`."""
    before, after = (json.dumps(v, ensure_ascii=False) for v in (change.before, change.after))
    if change.before is None:
        return f"+ {change.path} = {after}"
    if change.after is None:
        return f"- {change.path} = {before}"
    return f"~ {change.path}: {before} -> {after}"


def tenant_table(tenants: Iterable[TenantView]) -> Table[TenantView]:
    depths = _depths({tenant.name: tenant.spec.parent for tenant in tenants})
    return Table(
        lambda tenant: tenant.name,
        Column("TENANT", lambda tenant: _indented(tenant.name, depths), least=12),
        Column("USERS", lambda tenant: _listed(tenant.spec.users), least=8),
        Column("GROUPS", lambda tenant: _listed(tenant.spec.groups), least=8, drop=3),
        Column("WEIGHT", lambda tenant: str(tenant.spec.weight), drop=4),
        Column("GUARANTEED", lambda tenant: amount(tenant.spec.guaranteed)),
        Column("LIMIT", lambda tenant: amount(tenant.spec.limit)),
        Column("GPU HOURS", lambda tenant: _figure_or_none(tenant.spec.gpu_hours), drop=2),
        Column("SHARES", lambda tenant: _figure_or_none(tenant.spec.shares), drop=1),
    )


def quota_table(quotas: Iterable[QuotaView]) -> Table[QuotaView]:
    depths = _depths({quota.tenant: quota.parent for quota in quotas})
    return Table(
        lambda quota: quota.tenant,
        Column("TENANT", lambda quota: _indented(quota.tenant, depths), least=12),
        Column("GUARANTEED", lambda quota: amount(quota.guaranteed)),
        Column("LIMIT", lambda quota: amount(quota.limit)),
        Column("USED", lambda quota: amount(quota.used)),
        Column("BORROWED", lambda quota: amount(quota.borrowed), drop=2),
        Column("GPU HOURS", lambda quota: _of(f"{quota.hours:.1f}", quota.gpu_hours), drop=1),
        Column("USAGE", lambda quota: f"{quota.usage:.1f}", drop=4),
        Column("SHARES", lambda quota: _of(str(quota.shares), quota.max_shares), drop=3),
        Column("WEIGHT", lambda quota: str(quota.weight), wide=True),
    )


def tenant_details(tenant: TenantView) -> str:
    spec = tenant.spec
    rows = [
        ("tenant", tenant.name),
        ("parent", spec.parent or NONE),
        ("users", _listed(spec.users)),
        ("groups", _listed(spec.groups)),
        ("weight", str(spec.weight)),
        ("guaranteed", amount(spec.guaranteed)),
        ("limit", amount(spec.limit)),
        ("gpu hours", _figure_or_none(spec.gpu_hours)),
        ("shares", _figure_or_none(spec.shares)),
    ]
    return described(rows)


def amount(value: Amount) -> str:
    """`40 GiB, 150%`; without what is absent or zero."""
    parts = [format_bytes(value.memory)] if value.memory else []
    parts += [f"{value.compute}%"] if value.compute else []
    return ", ".join(parts) or NONE


def _of(used: str, most: float | None) -> str:
    return used if most is None else f"{used} / {most:g}"


def _figure_or_none(value: float | None) -> str:
    return NONE if value is None else f"{value:g}"


def _listed(names: Sequence[str]) -> str:
    return ",".join(names) or NONE


def _depths(parents: Mapping[Tenant, Tenant | None]) -> dict[Tenant, int]:
    """The depth of each tenant in the tree; a parent comes before its children."""
    depths: dict[Tenant, int] = {}
    for name, parent in parents.items():
        depths[name] = 0 if parent is None else depths.get(parent, -1) + 1
    return depths


def _indented(name: Tenant, depths: Mapping[Tenant, int]) -> str:
    return "  " * depths.get(name, 0) + name
