# SPDX-License-Identifier: Apache-2.0
"""Share specs from the words that people write."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from gpushare.model.errors import BadQuantityError, BadSpecError
from gpushare.model.ids import Tenant
from gpushare.model.spec import (
    ComputeAsk,
    Gang,
    Isolation,
    MechanismName,
    MemoryAsk,
    Priority,
    ShareSpec,
)
from gpushare.model.units import (
    FULL,
    Bytes,
    Percent,
    Seconds,
    parse_bytes,
    parse_duration,
    parse_percent,
)
from gpushare.model.view import UpdateRequest

from .times import parse_when

AUTO = "auto"
Choice = TypeVar("Choice", Priority, Isolation, MechanismName)


def spec(
    *,
    memory: str | int | None = None,
    memory_request: str | int | None = None,
    compute: str | int | None = None,
    compute_request: str | int | None = None,
    priority: str = Priority.NORMAL,
    isolation: str = Isolation.ANY,
    gpus: int = 1,
    gpu: Iterable[str | int] = (),
    mechanism: str = AUTO,
    name: str | None = None,
    ttl: str | int | None = None,
    labels: Mapping[str, str] = {},
    allow_unverified: bool = False,
    turns: bool = False,
    tenant: str | None = None,
    borrow: bool = True,
    at: str | datetime | None = None,
    gang: str | None = None,
    near: Mapping[str, str] = {},
    apart: Mapping[str, str] = {},
    select: Iterable[str] = (),
) -> ShareSpec:
    """Memory as `8GiB`, `20%` or bytes, compute in percent, ttl as `8h` or seconds.

    `at` as `14:00`, `+2h` or a date and time; `gang` as `NAME:SIZE`; `select` as `model=H200`.

    Raises BadQuantityError and BadSpecError.
    """
    return ShareSpec(
        memory=_memory(memory, memory_request),
        compute=_compute(compute, compute_request),
        priority=_choice(Priority, priority, "priority"),
        isolation=_choice(Isolation, isolation, "isolation"),
        gpus=gpus,
        gpu=tuple(str(one) for one in gpu),
        mechanism=None if mechanism == AUTO else _choice(MechanismName, mechanism, "mechanism"),
        name=name,
        ttl=None if ttl is None else _seconds(ttl),
        labels=dict(labels),
        allow_unverified=allow_unverified,
        turns=turns,
        tenant=None if tenant is None else Tenant(tenant),
        borrow=borrow,
        at=None if at is None else _when(at),
        gang=None if gang is None else _gang(gang),
        near=dict(near),
        apart=dict(apart),
        select=tuple(select),
    )


def changes(
    *,
    memory: str | int | None = None,
    memory_request: str | int | None = None,
    compute: str | int | None = None,
    compute_request: str | int | None = None,
    priority: str | None = None,
    ttl: str | int | None = None,
) -> UpdateRequest:
    """What changes about a share that lives; None: stays. Raises as `spec` does.

    A limit without a request is guaranteed in full, as in `spec`.
    """
    for limit, request, what in (
        (memory, memory_request, "memory"),
        (compute, compute_request, "compute"),
    ):
        if limit is None and request is not None:
            raise BadSpecError(
                f"the {what} request changes together with its limit", hint=f"give --{what} as well"
            )
    return UpdateRequest(
        memory=None if memory is None else _memory(memory, memory_request),
        compute=None if compute is None else _compute(compute, compute_request),
        priority=None if priority is None else _choice(Priority, priority, "priority"),
        ttl=None if ttl is None else _seconds(ttl),
    )


def _memory(limit: str | int | None, request: str | int | None) -> MemoryAsk:
    asked = None if request is None else _bytes(request)
    if isinstance(limit, str) and limit.strip().endswith("%"):
        return MemoryAsk(share=parse_percent(limit, "memory"), request=asked)
    return MemoryAsk(limit=None if limit is None else _bytes(limit), request=asked)


def _bytes(value: str | int) -> Bytes:
    return parse_bytes(value) if isinstance(value, str) else Bytes(value)


def _compute(limit: str | int | None, request: str | int | None) -> ComputeAsk:
    return ComputeAsk(
        limit=FULL if limit is None else _percent(limit),
        request=None if request is None else _percent(request),
    )


def _percent(value: str | int) -> Percent:
    return parse_percent(str(value))


def _seconds(value: str | int) -> Seconds:
    if isinstance(value, int) and value <= 0:
        raise BadQuantityError("duration", str(value), "write a time such as 90s, 30m, 8h or 2d")
    return parse_duration(value) if isinstance(value, str) else Seconds(value)


def _when(value: str | datetime) -> datetime:
    """In UTC; what is written without a zone is local."""
    found = parse_when(value, datetime.now().astimezone()) if isinstance(value, str) else value
    return found.astimezone(UTC)


def _gang(text: str) -> Gang:
    name, _, size = text.rpartition(":")
    if not name or not size.isdecimal():
        raise BadSpecError(f"cannot read the gang {text!r}", "", "write NAME:SIZE, as train:4")
    return Gang(name=name, size=int(size))


def _choice(kind: type[Choice], value: str, what: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        words = ", ".join(kind)
        raise BadSpecError(f"there is no {what} {value!r}", hint=f"one of: {words}") from error
