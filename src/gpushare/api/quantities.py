# SPDX-License-Identifier: Apache-2.0
"""Quantities in requests are whole numbers; what is written as on the command line is explained."""

import re
from collections.abc import Callable
from functools import reduce
from typing import Any

import msgspec

from gpushare.model.errors import BadQuantityError, BadSpecError
from gpushare.model.units import parse_bytes, parse_duration, parse_percent

_HINT = "see GET /v1/openapi.json"
_A_NUMBER = re.compile(r"Expected `int[^`]*`, got `str` - at `\$\.([\w.]+)`")
_UNITS: dict[str, tuple[str, Callable[[str], int]]] = {
    "memory": ("bytes", parse_bytes),
    "compute": ("percent", parse_percent),
    "ttl": ("seconds", parse_duration),
    "timeout": ("seconds", parse_duration),
}


def converted(raw: Any, kind: Any, *, strict: bool = True) -> Any:
    """The value; raises BadSpecError for text in the place of a quantity, ValidationError."""
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        if because := _explained(str(error), raw):
            raise BadSpecError("the request is invalid", because, _HINT) from error
        raise


def _explained(message: str, raw: Any) -> str:
    """Which unit the number has, and which number the text means; "" for other errors."""
    if (match := _A_NUMBER.fullmatch(message)) is None:
        return ""
    keys = match[1].split(".")
    unit, read = next((_UNITS[key] for key in keys if key in _UNITS), ("", None))
    if read is None:
        return ""
    text = reduce(lambda value, key: value[key], keys, raw)
    because = f"{match[1]} is a whole number of {unit}"
    try:
        return f"{because}: write {read(text)} for {text!r}"
    except BadQuantityError:
        return f"{because}, not {text!r}"
