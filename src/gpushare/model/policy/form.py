# SPDX-License-Identifier: Apache-2.0
"""The policy as people write it: `40GiB`, `7d`, a table per tenant; and what differs between two.

The same document can be TOML, YAML or JSON. Memory is a size or bytes, compute whole percents
of one GPU, times are `90s`, `30m`, `8h`, `7d` or seconds.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from gpushare.model.errors import BadQuantityError, PolicyError
from gpushare.model.ids import Tenant
from gpushare.model.units import is_number, parse_bytes, parse_duration
from gpushare.model.value import Value

from .tenant import Amount, IdlePolicy, Policy, SizingPolicy, TenantSpec
from .view import Change

API_VERSION = "v1"
TENANTS = "tenant"  # the document's word for the table of tenants
T = TypeVar("T", bound=Value)

_PARTS: dict[str, type[Value]] = {
    "default": TenantSpec,
    "guaranteed": Amount,
    "limit": Amount,
    "idle": IdlePolicy,
    "sizing": SizingPolicy,
}
_LARGEST = 2**63 - 1
_LONGEST = 40  # letters of a quantity
_SIZES = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_TIMES = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def document(policy: Policy) -> dict[str, Any]:
    """Every rule, and of each tenant what is not as usual; `policy()` reads it back."""
    whole = _written(policy)
    named = {name: _unusual(spec) for name, spec in policy.tenants.items()}
    document = {"apiVersion": API_VERSION, **whole, "default": _unusual(policy.default)}
    return {**document, TENANTS: named} if named else document


def policy(document: Mapping[str, Any]) -> Policy:
    """Read a document. Raises PolicyError, which names the key and where it stands."""
    rules = dict(document)
    if (version := rules.pop("apiVersion", None)) != API_VERSION:
        raise PolicyError(
            f"apiVersion is {version!r}", "", f'begin the file with: apiVersion = "{API_VERSION}"'
        )
    tenants = _table(rules.pop(TENANTS, {}), TENANTS)
    named = {
        Tenant(_name(name)): _read(TenantSpec, spec, f"{TENANTS}.{_key(name)}")
        for name, spec in tenants.items()
    }
    return _read(Policy, rules, "", tenants=msgspec.to_builtins(named))


def differences(before: Policy, after: Policy) -> tuple[Change, ...]:
    """What turns one policy into the other; a tenant that comes or goes is one change."""
    changes = [*_differ(_fields(before), _fields(after))]
    for name in sorted({*before.tenants, *after.tenants}):
        path = f"{TENANTS}.{_key(name)}"
        old, new = before.tenants.get(name), after.tenants.get(name)
        if old is None or new is None:
            gone, come = (None if spec is None else _unusual(spec) for spec in (old, new))
            changes.append(Change(path=path, before=gone, after=come))
        else:
            changes += _differ(_flat(_written(old), path), _flat(_written(new), path))
    return tuple(changes)


# Writing.


def _fields(policy: Policy) -> dict[str, Any]:
    return _flat({**_written(policy), "default": _written(policy.default)}, "")


def _written(value: Value) -> dict[str, Any]:
    """Every field but absent ones and the tenants, in the words of the file."""
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return {
        name: _words(name, field)
        for name, field in fields.items()
        if field is not None and name not in {"tenants", "default"}
    }


def _unusual(value: Value) -> dict[str, Any]:
    usual = type(value)()
    fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return {
        name: _unusual(field) if isinstance(field, Value) else _words(name, field)
        for name, field in fields
        if field != getattr(usual, name)
    }


def _words(name: str, field: Any) -> Any:
    if isinstance(field, Value):
        return _written(field)
    if name in _QUANTITIES:
        return _QUANTITIES[name][1](field)
    return list(map(str, field)) if isinstance(field, tuple) else msgspec.to_builtins(field)


def _flat(table: Mapping[str, Any], at: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        path = f"{at}.{name}" if at else name
        flat |= _flat(value, path) if isinstance(value, Mapping) else {path: value}
    return flat


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for path in dict.fromkeys((*before, *after)):
        if before.get(path) != after.get(path):
            yield Change(path=path, before=before.get(path), after=after.get(path))


def _key(name: object) -> str:
    """As TOML has it in a path: quoted where a dot would mislead."""
    text = str(name)
    return text if text.replace("-", "").replace("_", "").isalnum() else f'"{text}"'


# Reading.


def _read(kind: type[T], document: Any, place: str, **values: Any) -> T:
    """`values`: fields that are read already."""
    fields = [name for name in kind.__struct_fields__ if name not in values]
    for name, value in _table(document, place).items():
        if name not in fields:
            raise _unknown(name, place, [*fields, *([] if place else [TENANTS])])
        values[name] = _value(name, value, f"{place}.{name}" if place else name)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        because, _, where = str(error).partition(" - at `$")
        at = f"{place}{where.rstrip('`')}".lstrip(".") or "the policy"
        raise PolicyError(f"cannot use {at}", because) from error


def _value(name: str, value: Any, place: str) -> Any:
    if name in _PARTS:
        return _read(_PARTS[name], value, place)
    if name not in _QUANTITIES:
        return value
    try:
        return quantity(name, value)
    except BadQuantityError as error:
        raise PolicyError(f"cannot use {place}", str(error), error.hint) from error


def quantity(name: str, value: Any) -> Any:
    """Read one field that is a quantity, `memory` or `gpu_hours`; raises BadQuantityError."""
    if isinstance(value, str) and len(value) > _LONGEST:
        raise BadQuantityError("the quantity is too long")
    return _QUANTITIES[name][0](value)


def _table(document: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise PolicyError(f"cannot use {place}", f"it is a table, not {document!r}")
    return document


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise PolicyError(f"cannot name a tenant {name!r}", "names are text", f'write "{name}"')
    return name


def _unknown(name: object, place: str, names: list[str]) -> PolicyError:
    near = get_close_matches(str(name), names, 1)
    hint = f"did you mean {near[0]}?" if near else f"it may have: {', '.join(names)}"
    at = f" of {place}" if place else ""
    return PolicyError(f"unknown key {name!r}{at}", "a policy has no such key", hint)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise BadQuantityError(f"{value!r} is no {what}")
    return value


def _size(value: Any) -> int:
    if isinstance(value, str) and value.strip().endswith("%"):
        raise BadQuantityError(f"{value!r} is no size", "", "write a size such as 40GiB or 512MiB")
    return parse_bytes(value) if isinstance(value, str) else _whole(value, "size such as 40GiB")


def _time(value: Any) -> int:
    seconds = parse_duration(value) if isinstance(value, str) else value
    return _whole(seconds, "time such as 7d")


def _percents(value: Any) -> int:
    text = value.strip().removesuffix("%") if isinstance(value, str) else ""
    number = int(text) if is_number(text) else value
    return _whole(number, "whole number of percents, 100 for each GPU")


def _number(value: Any) -> float:
    plain = not isinstance(value, bool) and isinstance(value, int | float)
    if not plain or not math.isfinite(value):
        raise BadQuantityError(f"{value!r} is no number")
    return float(value)


def _in_units(units: tuple[tuple[str, int], ...]) -> Callable[[int], str | int]:
    """The largest unit that leaves nothing over."""

    def words(value: int) -> str | int:
        fitting = (f"{value // size}{unit}" for unit, size in units if value and not value % size)
        return next(fitting, value)

    return words


def _plainly(value: float) -> float:
    return int(value) if value.is_integer() else value


_in_sizes, _in_times = _in_units(_SIZES), _in_units(_TIMES)
# How each field that is a quantity is read, and written.
_QUANTITIES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "memory": (_size, _in_sizes),
    "compute": (_percents, int),
    "gpu_hours": (_number, _plainly),
    "grow_to": (_number, _plainly),
    **dict.fromkeys(
        ("half_life", "period", "min_runtime", "patience", "after", "watch"), (_time, _in_times)
    ),
}
