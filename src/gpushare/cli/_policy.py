# SPDX-License-Identifier: Apache-2.0
"""Tenants, quotas and changes of the policy in words; options that set quotas."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from gpushare.model.errors import BadQuantityError, GpushareError
from gpushare.model.ids import Tenant
from gpushare.model.policy_form import quantity
from gpushare.model.policy_view import Change, PolicyChange, QuotaView, TenantView
from gpushare.model.tenant import Amount, TenantSpec
from gpushare.model.units import format_bytes

from ._connect import client
from ._output import Column, Output, Table, aligned

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

NONE = "-"
_CLEAR = "none"  # what takes a figure away
Command = Callable[..., Any]


def complete_tenant(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    try:
        names = [found.name for found in client().rules.tenants()]
    except GpushareError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def tenant_argument(command: Command) -> Command:
    return click.argument("tenant", shell_complete=complete_tenant)(command)


_QUOTA_OPTIONS = (
    click.option("--memory", metavar="SIZE", help="The most memory at once, over all GPUs."),
    click.option("--compute", metavar="PERCENT", help="The most compute; 100 is one GPU."),
    click.option("--gpu-hours", metavar="HOURS", help="The most GPU hours within a period."),
    click.option("--max-shares", metavar="N", help="The most shares, waiting ones included."),
    click.option("--guaranteed-memory", metavar="SIZE", help="Memory it gets back from borrowers."),
    click.option("--guaranteed-compute", metavar="PERCENT", help="Compute it gets back likewise."),
)


def quota_options(command: Command) -> Command:
    """Everything that limits or guarantees; the command gets `quota`, a change of a spec."""

    @wraps(command)
    def with_quota(*args: Any, **given: Any) -> Any:
        texts = {name: given.pop(name) for name in _QUOTA_NAMES}
        wanted = {name: text for name, text in texts.items() if text is not None}
        return command(*args, quota=_changed(wanted), **given)

    for option in reversed(_QUOTA_OPTIONS):
        with_quota = option(with_quota)
    return with_quota


class Quota:
    """A change of a tenant's figures; what was not given stays."""

    def __init__(
        self, limit: Mapping[str, Any], guaranteed: Mapping[str, Any], **rest: Any
    ) -> None:
        self._limit, self._guaranteed, self._rest = limit, guaranteed, rest

    def __bool__(self) -> bool:
        return bool(self._limit or self._guaranteed or self._rest)

    def __call__(self, spec: TenantSpec) -> TenantSpec:
        return replace(
            spec,
            limit=replace(spec.limit, **self._limit),
            guaranteed=replace(spec.guaranteed, **self._guaranteed),
            **self._rest,
        )


_QUOTA_NAMES = (
    "memory",
    "compute",
    "gpu_hours",
    "max_shares",
    "guaranteed_memory",
    "guaranteed_compute",
)


def _changed(texts: Mapping[str, str]) -> Quota:
    read = {name: _figure(name, text) for name, text in texts.items()}
    rest = {"gpu_hours": "gpu_hours", "max_shares": "shares"}
    return Quota(
        limit={name: read[name] for name in ("memory", "compute") if name in read},
        guaranteed={
            name: read[f"guaranteed_{name}"]
            for name in ("memory", "compute")
            if f"guaranteed_{name}" in read
        },
        **{field: read[name] for name, field in rest.items() if name in read},
    )


def _figure(name: str, text: str) -> Any:
    """`none` takes it away."""
    if text == _CLEAR:
        return None
    name = name.removeprefix("guaranteed_")
    if name == "memory":
        return 0 if text == "0" else quantity(name, text)
    if name == "compute":
        return quantity(name, text)
    try:
        return quantity(name, float(text)) if name == "gpu_hours" else int(text)
    except ValueError as error:
        raise BadQuantityError(name.replace("_", " "), text, "write a number, or none") from error


def cleared(text: str | None) -> str | None:
    return None if text == _CLEAR else text


def names(given: Sequence[str]) -> tuple[str, ...]:
    """`none` alone: nobody."""
    return () if tuple(given) == (_CLEAR,) else tuple(given)


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
