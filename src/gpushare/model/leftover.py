# SPDX-License-Identifier: Apache-2.0
"""Leftovers on a machine, and their removal."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Literal, Protocol

from .ids import GpuId
from .share import Caller, ProcessRef
from .units import Bytes
from .value import Value


@unique
class Kind(StrEnum):
    CONTEXT = "context"  # GPU memory of a process that has ended
    PROCESS = "process"  # a process that has GPU memory outside every share
    MPS = "mps"  # MPS daemons and servers that serve no share
    REGION = "region"  # the files of shares that no longer exist
    BOARD = "board"
    POOL = "pool"
    GROUP = "group"
    MODE = "mode"  # the compute mode of a GPU, set for an exclusive share that no longer exists


class Leftover(Value):
    """`name` is its path, or its process.

    `ours`: made by gpushare for a share that is gone, so that `clean` may remove it; anything else
    is only touched when its process is named. `memory`: bytes on GPUs, or of the host for a pool.
    `since`: when it began, or was last written. What is not known is None or empty.
    """

    kind: Kind
    name: str
    why: str
    ours: bool = True
    process: ProcessRef | None = None
    command: str = ""
    uid: int | None = None
    user: str = ""
    gpus: tuple[GpuId, ...] = ()
    memory: Bytes | None = None
    since: datetime | None = None


class LeftoverList(Value):
    items: tuple[Leftover, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class CleanRequest(Value):
    """`kinds` empty: all, unless processes are named. `processes`: to be ended, whosever they are.

    `force`: by SIGKILL instead of SIGTERM. `dry_run`: only say what would be done.
    """

    kinds: tuple[Kind, ...] = ()
    processes: tuple[ProcessRef, ...] = ()
    force: bool = False
    dry_run: bool = True


@unique
class Outcome(StrEnum):
    WOULD = "would"  # it would be removed or ended
    DONE = "done"
    ASKED = "asked"  # its process was asked to end
    KEPT = "kept"


class Cleaned(Value):
    """`because`: why it is kept."""

    leftover: Leftover
    outcome: Outcome
    because: str = ""


class CleanReport(Value):
    items: tuple[Cleaned, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815


class LeftoverService(Protocol):
    """For operators."""

    async def all(self, caller: Caller) -> Sequence[Leftover]: ...

    async def clean(self, request: CleanRequest, caller: Caller) -> Sequence[Cleaned]:
        """Raises UsageError for a process that is no leftover; nothing is done then."""
        ...
