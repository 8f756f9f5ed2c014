# SPDX-License-Identifier: Apache-2.0
"""What users can ask of a share: one table.

The options of `gpushare run`, `create` and `update`, the keyword arguments of `gpushare.share()`
and the fields of `ShareSpec` are all made from `SPEC_FIELDS`. A new field of `ShareSpec` needs one
row here and one line in `SpecOptions`, which only tells type checkers what the table accepts; a
test compares the three.

Two rows can fill one field: `memory` and `memory_request` are parts of `ShareSpec.memory`. A value
of None means that the user did not give it, so the field keeps the default of `ShareSpec`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack

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
    Bytes,
    Percent,
    Seconds,
    is_number,
    parse_bytes,
    parse_duration,
    parse_percent,
)
from gpushare.model.view import UpdateRequest

from .local_time import local_now
from .times import parse_time

AUTO = "auto"
_UNSET = "leave it out, or check that the variable it comes from is set"
Choice = TypeVar("Choice", Priority, Isolation, MechanismName)


class SpecOptions(TypedDict, total=False):
    """The types of the keywords in `SPEC_FIELDS`."""

    memory: str | int | None
    memory_request: str | int | None
    compute: str | int | None
    compute_request: str | int | None
    priority: str
    isolation: str
    gpus: int
    gpu: Iterable[str | int]
    mechanism: str
    name: str | None
    ttl: str | int | None
    labels: Mapping[str, str]
    turns: bool
    tenant: str | None
    borrow: bool
    at: str | datetime | None
    gang: str | None
    near: Mapping[str, str]
    apart: Mapping[str, str]
    select: Iterable[str]
    allow_unverified: bool


class SpecField(NamedTuple):
    """One row: a keyword in Python, its option on the command line, and how its value is read.

    `read` turns what users write into the value of `field`, or into a part of it. `no_` flags on
    the command line set their keyword to False. `live`: `gpushare update` can change it.
    """

    keyword: str
    flags: tuple[str, ...]
    help: str
    read: Callable[[Any], Any]
    field: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    is_flag: bool = False
    repeated: bool = False
    live: bool = False

    @property
    def negated(self) -> bool:
        """Whether the option's flag sets its keyword to False."""
        return self.flags[-1].startswith("--no-")


def spec(**options: Unpack[SpecOptions]) -> ShareSpec:
    """Memory as `8GiB`, `20%` or bytes, compute in percent, ttl as `8h` or seconds.

    `at` as `14:00`, `+2h` or a date and time; `gang` as `NAME:SIZE`; `select` as `model=H200`.

    Raises BadQuantityError and BadSpecError.
    """
    return ShareSpec(**_values(options, SPEC_FIELDS))


def changes(**options: str | int | None) -> UpdateRequest:
    """What changes about a live share; None: stays. Raises as `spec` does.

    A limit without a request is guaranteed in full, as in `spec`.
    """
    for name in ("memory", "compute"):
        if options.get(name) is None and options.get(f"{name}_request") is not None:
            raise BadSpecError(
                f"the {name} request changes together with its limit", hint=f"give --{name} as well"
            )
    return UpdateRequest(**_values(options, [field for field in SPEC_FIELDS if field.live]))


def _values(options: Mapping[str, Any], fields: Iterable[SpecField]) -> dict[str, Any]:
    """The fields of ShareSpec that the options give."""
    rows = {field.keyword: field for field in fields}
    if unknown := options.keys() - rows.keys():
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"memory": {}, "compute": {}}
    for keyword, value in options.items():
        if value is None:
            continue
        if value == "":
            raise BadSpecError(f"{keyword} is empty", "an empty text is no value", _UNSET)
        row = rows[keyword]
        if row.field in parts:
            parts[row.field] |= row.read(value)
        else:
            values[row.field] = row.read(value)
    asks = {"memory": MemoryAsk, "compute": ComputeAsk}
    return values | {name: asks[name](**part) for name, part in parts.items() if part}


def _memory(value: str | int) -> dict[str, Any]:
    if isinstance(value, str) and value.strip().endswith("%"):
        return {"share": parse_percent(value, "memory")}
    return {"limit": _bytes(value)}


def _memory_request(value: str | int) -> dict[str, Any]:
    return {"request": _bytes(value)}


def _bytes(value: str | int) -> Bytes:
    return parse_bytes(value) if isinstance(value, str) else Bytes(value)


def _compute(value: str | int) -> dict[str, Any]:
    return {"limit": _percent(value)}


def _compute_request(value: str | int) -> dict[str, Any]:
    return {"request": _percent(value)}


def _percent(value: str | int) -> Percent:
    return parse_percent(str(value))


def _seconds(value: str | int) -> Seconds:
    if isinstance(value, int) and value <= 0:
        raise BadQuantityError("duration", str(value), "write a time such as 90s, 30m, 8h or 2d")
    return parse_duration(value) if isinstance(value, str) else Seconds(value)


def _count(value: str | int) -> int:
    if isinstance(value, str) and not is_number(value):
        raise BadQuantityError("number", value, "write a whole number")
    return int(value)


def _moment(value: str | datetime) -> datetime:
    """In UTC; a time without a zone is local."""
    moment = parse_time(value, local_now()) if isinstance(value, str) else value
    return moment.astimezone(UTC)


def _gang(text: str) -> Gang:
    name, _, size = text.rpartition(":")
    if not name or not is_number(size):
        raise BadSpecError(f"cannot read the gang {text!r}", "", "write NAME:SIZE, as train:4")
    return Gang(name=name, size=int(size))


def _labels(value: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """From a mapping, or from texts `KEY=VALUE`."""
    return dict(value) if isinstance(value, Mapping) else dict(map(_label, value))


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadSpecError(f"cannot read the label {text!r}", "", "write KEY=VALUE")
    return key, value


def _texts(values: Iterable[str | int]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _choice(value: str, kind: type[Choice], what: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        allowed = ", ".join(kind)
        raise BadSpecError(f"there is no {what} {value!r}", hint=f"one of: {allowed}") from error


def _mechanism(value: str) -> MechanismName | None:
    return None if value == AUTO else _choice(value, MechanismName, "mechanism")


SPEC_FIELDS = (
    SpecField(
        "memory", ("-m", "--memory"), "Memory limit per GPU: 8GiB (or 8G, the same), or 20%.",
        _memory, "memory", metavar="SIZE", live=True,
    ),
    SpecField(
        "memory_request", ("--memory-request",), "Guaranteed part of the memory limit.",
        _memory_request, "memory", metavar="SIZE", live=True,
    ),
    SpecField(
        "compute", ("-c", "--compute"), "Compute limit per GPU, in percent.",
        _compute, "compute", metavar="PERCENT", live=True,
    ),
    SpecField(
        "compute_request", ("--compute-request",), "Guaranteed part of the compute limit.",
        _compute_request, "compute", metavar="PERCENT", live=True,
    ),
    SpecField(
        "priority", ("-p", "--priority"), "Whose GPU work goes first on a busy GPU.",
        partial(_choice, kind=Priority, what="priority"), "priority",
        choices=tuple(map(str, Priority)), live=True,
    ),
    SpecField(
        "isolation", ("--isolation",), "Minimum isolation from other shares.",
        partial(_choice, kind=Isolation, what="isolation"), "isolation",
        choices=tuple(map(str, Isolation)),
    ),
    SpecField(
        "gpus", ("-n", "--gpus"), "Number of GPUs.", _count, "gpus", metavar="N", minimum=1,
    ),
    SpecField(
        "gpu", ("--gpu",),
        "Use only this GPU. Can be repeated. Default: those of CUDA_VISIBLE_DEVICES, if it is set.",
        _texts, "gpu", metavar="UUID|INDEX", repeated=True,
    ),
    SpecField(
        "mechanism", ("--mechanism",), "Mechanism to use; auto chooses one.",
        _mechanism, "mechanism", choices=(AUTO, *map(str, MechanismName)),
    ),
    SpecField("name", ("--name",), "Name of the share.", str, "name"),
    SpecField(
        "ttl", ("--ttl",), "End the share after this time, such as 90s, 30m, 8h or 2d.",
        _seconds, "ttl", metavar="TIME", live=True,
    ),
    SpecField(
        "labels", ("-l", "--label"), "Label the share. Can be repeated.",
        _labels, "labels", metavar="KEY=VALUE", repeated=True,
    ),
    SpecField(
        "turns", ("--turns",),
        "Share GPU memory in turns with other shares that have this option.",
        bool, "turns", is_flag=True,
    ),
    SpecField(
        "tenant", ("--tenant",), "Tenant of the share, one of yours. Default: the first.",
        Tenant, "tenant", metavar="NAME",
    ),
    SpecField(
        "borrow", ("--no-borrow",),
        "Stay within the tenant's guarantee, so that the share is never reclaimed.",
        bool, "borrow", is_flag=True,
    ),
    SpecField(
        "at", ("--at",),
        "Reserve for a later time, local or with an offset: 14:00, +2h, 2026-12-01T08:00, 06:00Z. "
        "Needs --ttl.",
        _moment, "at", metavar="TIME",
    ),
    SpecField(
        "gang", ("--gang",), "Grant together with the other shares of this gang, SIZE in total.",
        _gang, "gang", metavar="NAME:SIZE",
    ),
    SpecField(
        "near", ("--near",), "Use GPUs that run your shares with this label. Can be repeated.",
        _labels, "near", metavar="KEY=VALUE", repeated=True,
    ),
    SpecField(
        "apart", ("--apart",), "Avoid GPUs that run your shares with this label. Can be repeated.",
        _labels, "apart", metavar="KEY=VALUE", repeated=True,
    ),
    SpecField(
        "select", ("--select",),
        "Use only matching GPUs: model=H200, memory>=40GiB, numa=0. Can be repeated.",
        tuple, "select", metavar="CONDITION", repeated=True,
    ),
    SpecField(
        "allow_unverified", ("--allow-unverified",),
        "Run even if a limit is known not to hold on this machine.",
        bool, "allow_unverified", is_flag=True,
    ),
)  # fmt: skip
