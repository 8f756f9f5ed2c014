# SPDX-License-Identifier: Apache-2.0
"""What one call of `/v1` is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gpushare.model.service import Service
from gpushare.model.share import Caller
from gpushare.model.value import Value


@dataclass(frozen=True)
class Call:
    """One request, read and checked."""

    caller: Caller
    ref: str
    query: Any
    body: Any


@dataclass(frozen=True)
class Route:
    """`takes`: type of the body, `query`: of the parameters, `gives`: of the answer."""

    method: str
    path: str
    doc: str
    handle: Callable[[Service, Call], Awaitable[Value]]
    gives: type[Value]
    takes: type[Value] | None = None
    query: type[Value] | None = None
    status: int = 200
