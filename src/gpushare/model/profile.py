# SPDX-License-Identifier: Apache-2.0
"""What past runs say about programs and their neighbours."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from .share import Caller
from .units import Bytes
from .value import Value


class Profile(Value):
    """How much work a program has done next to another; an empty one: alone.

    `work` is in launches, so it compares a program with itself only; `seconds` is how long both
    wanted the GPU.
    """

    program: str
    beside: str
    seconds: float
    work: float


class Runs(Value):
    """What a program's shares have taken: how many there were, seconds in all and at most.

    `peak`: the most GPU memory of one share, in bytes; None: nothing counted it. `last`: when the
    newest one ended.
    """

    program: str
    count: int
    seconds: float
    longest: float
    peak: Bytes | None
    last: datetime


class ProfileList(Value):
    items: tuple[Profile, ...]
    runs: tuple[Runs, ...] = ()
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class ProfileService(Protocol):
    """For operators: the names of programs are their users'."""

    async def all(self, caller: Caller) -> Sequence[Profile]: ...

    async def runs(self, caller: Caller) -> Sequence[Runs]: ...
