# SPDX-License-Identifier: Apache-2.0
"""MPS control daemons."""

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


class MpsPlace(Value):
    """Where a GPU's control daemon lives, and what a client needs to reach it."""

    gpu: GpuId
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
    """MPS control daemons of ours: one per GPU, alive as long as someone holds it."""

    def binary(self) -> str | None:
        """The control tool on PATH."""
        ...

    def acquire(self, gpu: GpuId, holder: str) -> MpsPlace:
        """Hold the GPU's daemon, starting it if it does not run; raises MpsError, MpsStuckError."""
        ...

    def release(self, gpu: GpuId, holder: str | None) -> None:
        """Let go of it; after the last holder it and its servers end, by force if need be.

        None lets go of nothing: it only ends a daemon that has no holders.
        """
        ...

    def holders(self) -> dict[GpuId, tuple[str, ...]]:
        """Every GPU with a daemon or holders of ours, those of a predecessor included."""
        ...

    def control(self, gpu: GpuId) -> MpsControl: ...

    def restart(self, gpu: GpuId) -> None:
        """End the daemon, if it runs, and start it again."""
        ...
