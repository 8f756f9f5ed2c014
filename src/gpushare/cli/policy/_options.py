# SPDX-License-Identifier: Apache-2.0
"""Options of the commands that change tenants and quotas."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from gpushare.cli._connect import client
from gpushare.model.errors import BadQuantityError, GpushareError
from gpushare.model.policy.form import quantity
from gpushare.model.policy.tenant import TenantSpec

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_CLEAR = "none"  # removes a value
Command = Callable[..., Any]


def complete_tenant(
    _: click.Context, __: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Names of tenants for the shell; none on an error, which a shell cannot show."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (start-up time)

    try:
        names = [tenant.name for tenant in client().rules.tenants()]
    except GpushareError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def tenant_argument(command: Command) -> Command:
    """The argument TENANT, which the shell can complete."""
    return click.argument("tenant", shell_complete=complete_tenant)(command)


_QUOTA_OPTIONS = (
    click.option("--memory", metavar="SIZE", help="Limit of memory, over all GPUs."),
    click.option("--compute", metavar="PERCENT", help="Limit of compute; 100 is one GPU."),
    click.option("--gpu-hours", metavar="HOURS", help="Limit of GPU hours within a period."),
    click.option("--max-shares", metavar="N", help="Limit of shares, including queued ones."),
    click.option("--guaranteed-memory", metavar="SIZE", help="Guaranteed memory, over all GPUs."),
    click.option(
        "--guaranteed-compute", metavar="PERCENT", help="Guaranteed compute; 100 is one GPU."
    ),
)


def quota_options(command: Command) -> Command:
    """Options for limits and guarantees; the command gets `quota`, a change of a tenant's spec."""

    @wraps(command)
    def with_quota(*args: Any, **given: Any) -> Any:
        texts = {name: given.pop(name) for name in _QUOTA_NAMES}
        given_texts = {name: text for name, text in texts.items() if text is not None}
        return command(*args, quota=_changed(given_texts), **given)

    # click lists the last decorator first.
    for option in reversed(_QUOTA_OPTIONS):
        with_quota = option(with_quota)
    return with_quota


class Quota:
    """A change of a tenant's limits and guarantees; options that are not given change nothing."""

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
    """Read one value; `none` removes it."""
    if text == _CLEAR:
        return None
    name = name.removeprefix("guaranteed_")
    if name == "memory":
        # `quantity` requires a unit, which zero does not need.
        return 0 if text == "0" else quantity(name, text)
    if name == "compute":
        return quantity(name, text)
    try:
        plain = text.encode("ascii")  # float() and int() read the digits of every script
        return quantity(name, float(plain)) if name == "gpu_hours" else int(plain)
    except ValueError as error:
        raise BadQuantityError(name.replace("_", " "), text, "write a number, or none") from error


def cleared(text: str | None) -> str | None:
    """The text, or None for `none`, which removes a value."""
    return None if text == _CLEAR else text


def names(given: Sequence[str]) -> tuple[str, ...]:
    """The names; `none` alone is an empty list."""
    return () if tuple(given) == (_CLEAR,) else tuple(given)
