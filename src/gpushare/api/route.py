# SPDX-License-Identifier: Apache-2.0
"""The description of one call of `/v1`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gpushare.model.service import Service
from gpushare.model.share import Caller
from gpushare.model.value import Value


@dataclass(frozen=True)
class Call:
    """One decoded and validated request."""

    caller: Caller
    ref: str
    query: Any
    body: Any


@dataclass(frozen=True)
class Route:
    """`takes`: type of the body; `query`: of the parameters; `gives`: of the answer."""

    method: str
    path: str
    doc: str
    handle: Callable[[Service, Call], Awaitable[Value]]
    gives: type[Value]
    takes: type[Value] | None = None
    query: type[Value] | None = None
    status: int = 200
