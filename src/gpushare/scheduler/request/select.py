# SPDX-License-Identifier: Apache-2.0
"""What a share's GPUs must be: `model=H200`, `memory>=40GiB`, `cc>=9.0`, `numa!=1`."""

import operator
import re
from collections.abc import Callable
from enum import StrEnum, unique
from functools import lru_cache

from gpushare.model.errors import BadQuantityError, BadSpecError
from gpushare.model.gpu import Gpu
from gpushare.model.spec import ShareSpec
from gpushare.model.units import format_bytes, parse_bytes
from gpushare.model.value import Value

Operand = str | int | tuple[int, int]


@unique
class Key(StrEnum):
    """What can be asked about; memory is the card's whole memory."""

    MODEL = "model"
    MEMORY = "memory"
    UUID = "uuid"
    NUMA = "numa"
    CC = "cc"


@unique
class Relation(StrEnum):
    LEAST = ">="
    MOST = "<="
    NOT = "!="
    ABOVE = ">"
    BELOW = "<"
    IS = "="


class Selector(Value):
    """One condition. `value` is text in lower case, bytes, a node's number or (major, minor)."""

    key: Key
    relation: Relation
    value: Operand
    text: str

    def accepts(self, gpu: Gpu) -> bool:
        """What is not known of a GPU is neither equal nor different."""
        actual = _value_of(gpu, self.key)
        if actual is None:
            return False
        if self.key is Key.MODEL:
            return (str(self.value) in str(actual)) is (self.relation is Relation.IS)
        return _COMPARE[self.relation](actual, self.value)

    def refusal(self, gpu: Gpu) -> str:
        """Why the GPU is none of those asked for; "" when it is one."""
        if self.accepts(gpu):
            return ""
        actual = _value_of(gpu, self.key)
        has = "is not known" if actual is None else f"is {_shown(gpu, self.key)}"
        return f"GPU {gpu.index} is not {self.text}: its {self.key} {has}"


def selectors(spec: ShareSpec) -> tuple[Selector, ...]:
    """The spec's conditions, all of which must hold; raises BadSpecError."""
    return tuple(parse(text) for text in spec.select)


# Every decision reads the conditions of every waiting request again, for each GPU.
@lru_cache(maxsize=256)
def parse(text: str) -> Selector:
    """Read one condition; raises BadSpecError, which names what there is."""
    match = _SHAPE.fullmatch(text)
    if match is None or match[1].lower() not in set(Key):
        raise _bad(text, "it names nothing that is known of a GPU")
    key, relation = Key(match[1].lower()), Relation(match[2])
    if key not in _ORDERED and relation not in {Relation.IS, Relation.NOT}:
        raise _bad(text, f"{key} can only be equal or different")
    try:
        return Selector(key=key, relation=relation, value=_READ[key](match[3]), text=text.strip())
    except (ValueError, BadQuantityError) as error:
        raise _bad(text, f"{match[3]!r} is no {_MEANING[key]}") from error


def _bad(text: str, because: str) -> BadSpecError:
    keys = ", ".join(f"{key} ({meaning})" for key, meaning in _MEANING.items())
    return BadSpecError(
        f"cannot read the selector {text!r}",
        f"{because}; there is {keys}",
        "write model=H200, memory>=40GiB, uuid=GPU-…, numa=0, cc>=9.0, or != for what must not be",
    )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return _number(major), _number(minor or "0")


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(text)
    return int(text)


def _value_of(gpu: Gpu, key: Key) -> Operand | None:
    match key:
        case Key.MODEL:
            return gpu.name.lower()
        case Key.MEMORY:
            return gpu.memory_total
        case Key.UUID:
            return gpu.uuid.lower()
        case Key.NUMA:
            return gpu.numa
        case Key.CC:
            return gpu.compute_capability


def _shown(gpu: Gpu, key: Key) -> str:
    match key:
        case Key.MODEL:
            return gpu.name
        case Key.UUID:
            return gpu.uuid
        case Key.MEMORY:
            return format_bytes(gpu.memory_total)
        case Key.CC:
            return ".".join(map(str, gpu.compute_capability or ()))
        case _:
            return str(_value_of(gpu, key))


# Relations of two characters come first, or `>=` would be read as `>`.
_SHAPE = re.compile(r"\s*(\w+)\s*(>=|<=|!=|>|<|=)\s*([^\s=<>!](?:.*\S)?)\s*")
_ORDERED = {Key.MEMORY, Key.CC}
_READ: dict[Key, Callable[[str], Operand]] = {
    Key.MODEL: str.lower,
    Key.MEMORY: parse_bytes,
    Key.UUID: str.lower,
    Key.NUMA: _number,
    Key.CC: _version,
}
_MEANING = {
    Key.MODEL: "part of the name",
    Key.MEMORY: "size of the card",
    Key.UUID: "UUID",
    Key.NUMA: "node number",
    Key.CC: "compute capability",
}
_COMPARE: dict[Relation, Callable[[Operand, Operand], bool]] = {
    Relation.LEAST: operator.ge,
    Relation.MOST: operator.le,
    Relation.NOT: operator.ne,
    Relation.ABOVE: operator.gt,
    Relation.BELOW: operator.lt,
    Relation.IS: operator.eq,
}
