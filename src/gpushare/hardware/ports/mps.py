# SPDX-License-Identifier: Apache-2.0
"""MPS control daemons."""

import hashlib
from enum import StrEnum, unique
from pathlib import Path
from typing import Protocol

from gpushare.model.ids import GpuId
from gpushare.model.value import Value


@unique
class MpsState(StrEnum):
    INITIALIZING = "INITIALIZING"
    ACTIVE = "ACTIVE"
    FAULT = "FAULT"


class MpsServer(Value):
    """`name` is empty in the v2 dialect; in v3 servers have names."""

    pid: int
    state: MpsState
    name: str = ""


class MpsClient(Value):
    pid: int
    server: int


Gpus = tuple[GpuId, ...]  # those that one daemon serves, in the order in which it numbers them


def home_of(gpus: Gpus) -> str:
    """The name of a daemon's folder: a GPU's id, or a digest, as paths of sockets are short."""
    if len(gpus) == 1:
        return gpus[0]
    return f"set-{hashlib.sha256(','.join(gpus).encode()).hexdigest()[:16]}"


class MpsPlace(Value):
    """Where a control daemon lives, and what a client needs to reach it."""

    gpus: Gpus
    pipe: Path
    log: Path


class MpsControl(Protocol):
    """A conversation with one control daemon; every call may raise MpsError or MpsStuckError."""

    def servers(self) -> tuple[MpsServer, ...]: ...

    def clients(self) -> tuple[MpsClient, ...]: ...

    def terminate(self, client: MpsClient) -> None:
        """End the client's GPU work in order; its next CUDA call fails, other clients go on."""
        ...

    def blame(self) -> tuple[int, ...]:
        """Pids that server.log names as the cause of a fault, oldest first."""
        ...


class Mps(Protocol):
    """Our MPS control daemons: one per GPU, and one for each set of GPUs that shares have together.

    Each runs as long as it has a holder.
    """

    def binary(self) -> str | None:
        """The control tool on PATH."""
        ...

    def acquire(self, gpus: Gpus, holder: str) -> MpsPlace:
        """Hold the daemon of exactly these GPUs, starting it if it does not run.

        Raises MpsError, MpsStuckError.
        """
        ...

    def release(self, gpus: Gpus, holder: str | None) -> None:
        """Release it; after the last holder it and its servers end, by force if necessary.

        None releases nothing: it only ends a daemon without holders.
        """
        ...

    def holders(self) -> dict[Gpus, tuple[str, ...]]:
        """All GPUs with a daemon or holders, those of an earlier daemon of ours included."""
        ...

    def control(self, gpus: Gpus) -> MpsControl: ...

    def restart(self, gpus: Gpus) -> None:
        """End the daemon, if it runs, and start it again."""
        ...
