# SPDX-License-Identifier: Apache-2.0
"""The driver's checkpoint of a process."""

from collections.abc import Mapping
from enum import IntEnum, unique
from typing import Protocol

from gpushare.model.ids import GpuId


@unique
class CheckpointState(IntEnum):
    """CUprocessState of cuda.h."""

    RUNNING = 0
    LOCKED = 1
    CHECKPOINTED = 2
    FAILED = 3
    CHECKPOINTING = 4
    RESTORING = 5


class Checkpoints(Protocol):
    """The driver's checkpoint of one process.

    Acts raise NotSuspendableError, MoveTimeoutError, MoveFailedError, UnsupportedError.
    """

    def state(self, pid: int) -> CheckpointState | None:
        """None: the process has nothing to do with CUDA."""
        ...

    def lock(self, pid: int, seconds: float) -> None:
        """Stop it at its next CUDA call and wait until the GPU has done what it was given."""
        ...

    def checkpoint(self, pid: int) -> None: ...

    def remaps(self) -> str:
        """Why programs cannot be restored on other GPUs here; "" when they can."""
        ...

    def restore(self, pid: int, moves: Mapping[GpuId, GpuId] = {}) -> None:
        """`moves`: which GPU takes the place of one it was on; of the same model. None: as it was.

        One that is refused has changed nothing.
        """
        ...

    def unlock(self, pid: int) -> None: ...
