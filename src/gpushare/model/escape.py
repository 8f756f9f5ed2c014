# SPDX-License-Identifier: Apache-2.0
"""A limit of a share that does not hold now: what shows it, which process, since when.

The daemon compares what the guard counts with what the driver counts. While they contradict each
other, the limits concerned are only *reported*, whatever the mechanisms promise.
"""

from datetime import datetime
from enum import StrEnum, unique

from .ids import GpuId
from .units import Bytes, format_bytes
from .value import Value


@unique
class EscapeKind(StrEnum):
    NO_GUARD = "no-guard"  # a process uses a GPU, and no guard counts it
    STALE = "stale"  # a process uses a GPU, and the region that counts it cannot be read
    OVER_LIMIT = "over-limit"  # the driver counts more than the limit
    OTHER_GPU = "other-gpu"  # a process uses a GPU that is not the share's
    IMPOSSIBLE = "impossible"  # the region's counters say more than the GPU has
    UNLOCKED = "unlocked"  # the GPU's compute mode no longer keeps other programs away

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Whose levels it lowers."""
        return _DIMENSIONS[self]


_DIMENSIONS = {
    EscapeKind.NO_GUARD: ("memory", "compute"),
    EscapeKind.STALE: ("memory", "compute"),
    EscapeKind.OVER_LIMIT: ("memory",),
    EscapeKind.OTHER_GPU: ("memory", "devices"),
    EscapeKind.IMPOSSIBLE: ("memory",),
    EscapeKind.UNLOCKED: ("memory", "compute"),
}
_WORDS = {
    EscapeKind.NO_GUARD: "runs without the guard",
    EscapeKind.STALE: "is uncounted (the share's region cannot be read)",
    EscapeKind.OVER_LIMIT: "exceeds its limit",
    EscapeKind.OTHER_GPU: "uses a GPU that is not the share's",
    EscapeKind.IMPOSSIBLE: "has counters that say more than the GPU has",
    EscapeKind.UNLOCKED: "no longer has its GPU alone, because the compute mode was changed",
}


class EscapeCause(Value):
    """`pid` None: the share as a whole. `memory`: as the driver counts it; None: unknown.

    `share`: its name, where it is not clear which share is meant.
    """

    kind: EscapeKind
    gpu: GpuId
    pid: int | None = None
    memory: Bytes | None = None
    share: str = ""

    @property
    def text(self) -> str:
        """`process 4242 runs without the guard and holds 39.1 GiB`."""
        share = f"share {self.share}" if self.share else "the share"
        who = share if self.pid is None else f"process {self.pid}"
        holds = "" if self.memory is None else f" and holds {format_bytes(self.memory)}"
        return f"{who} {_WORDS[self.kind]}{holds}"

    @property
    def same(self) -> tuple[EscapeKind, GpuId, int | None]:
        """What does not change while it lasts."""
        return self.kind, self.gpu, self.pid


class EscapePeriod(Value):
    """The newest time in which limits did not hold. `until` None: it lasts."""

    since: datetime
    causes: tuple[EscapeCause, ...]
    until: datetime | None = None

    @property
    def active(self) -> bool:
        return self.until is None

    @property
    def text(self) -> str:
        """Every cause, as a sentence without an end."""
        return "; ".join(dict.fromkeys(cause.text for cause in self.causes))
