# SPDX-License-Identifier: Apache-2.0
"""Quantities: bytes and whole percents, exact integers everywhere."""

import re
from typing import NewType

from .errors import BadQuantityError

Bytes = NewType("Bytes", int)
Percent = NewType("Percent", int)
Seconds = NewType("Seconds", int)

KIB = 1024
MIB = 1024**2
GIB = 1024**3
FULL = Percent(100)

# A bare K, M, G or T is binary: it is what nvidia-smi and MPS mean by "4G". Ki, Mi, Gi and Ti are
# what Kubernetes writes.
_UNITS = {
    "": 1,
    "b": 1,
    **{
        f"{letter}{tail}": 1024**power
        for power, letter in enumerate("kmgt", 1)
        for tail in ("", "i", "ib")
    },
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
}
_MEMORY = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?\s*([A-Za-z]*)", re.ASCII)
_DURATION = re.compile(r"(\d{1,12})\s*(s|m|h|d|)", re.ASCII)
_DURATION_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LARGEST = 2**63 - 1


def parse_bytes(text: str) -> Bytes:
    """Read `8GiB`, `8Gi`, `8G`, `1.5g`, `512MB` or plain bytes; raises BadQuantityError."""
    match = _MEMORY.fullmatch(text.strip())
    scale = _UNITS.get(match[3].lower()) if match else None
    if match is None or scale is None:
        raise BadQuantityError("memory", text, "write a size such as 8GiB, 512MiB or 20%")
    whole, fraction = match[1], match[2] or ""
    value = int(whole + fraction) * scale // 10 ** len(fraction)
    if not 0 < value <= _LARGEST:
        raise BadQuantityError("memory", text, "the size must be above zero and fit a GPU")
    return Bytes(value)


def is_number(text: str) -> bool:
    """Whether it is made of the digits 0 to 9; `isdecimal` accepts those of other scripts too."""
    return text.isascii() and text.isdecimal()


def parse_percent(text: str, what: str = "compute") -> Percent:
    """Read `40` or `40%`, a whole number from 1 to 100; raises BadQuantityError."""
    digits = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]{1,3}", digits) or not 1 <= int(digits) <= FULL:
        raise BadQuantityError(what, text, "write a whole percent from 1 to 100")
    return Percent(int(digits))


def parse_duration(text: str) -> Seconds:
    """Read `90`, `90s`, `30m`, `8h` or `2d`; raises BadQuantityError."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise BadQuantityError("duration", text, "write a time such as 90s, 30m, 8h or 2d")
    return Seconds(int(match[1]) * _DURATION_UNITS[match[2]])


def format_bytes(value: int) -> str:
    """Render bytes for people: `8 GiB`, `1.5 GiB`, `512 MiB`, `0 B`."""
    for scale, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= scale:
            return f"{round(value / scale, 1):g} {name}"
    return f"{value} B"
