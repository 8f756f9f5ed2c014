# SPDX-License-Identifier: Apache-2.0
"""Device nodes of GPUs."""

from collections.abc import Collection
from typing import Protocol

from gpushare.model.ids import GpuId


class Devices(Protocol):
    """Which GPUs' device nodes the processes of a control group may open."""

    def reason(self) -> str:
        """Why nothing can hold them back here; empty when something can."""
        ...

    def confine(self, name: str, gpus: Collection[GpuId]) -> None:
        """To these GPUs, from now on and for processes that join; raises CgroupError."""
        ...

    def in_force(self, name: str) -> bool | None:
        """Whether a rule is in force for the group; None: that cannot be read here."""
        ...
