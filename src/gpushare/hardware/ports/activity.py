# SPDX-License-Identifier: Apache-2.0
"""Which processes used a GPU."""

from datetime import datetime
from typing import Protocol

from gpushare.model.ids import GpuId


class Activity(Protocol):
    def busy(self, gpu: GpuId, since: datetime) -> frozenset[int] | None:
        """Pids that had the GPU's multiprocessors since then; None: nothing tells."""
        ...
