# SPDX-License-Identifier: Apache-2.0
"""What one CUDA context costs on a GPU under a driver, as measured."""

from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

from .database import Database


class ContextCosts:
    """Also kept in memory, because mechanisms read it from other threads than the store's."""

    def __init__(self, database: Database) -> None:
        self._db = database
        rows = database.rows("SELECT gpu, driver, bytes FROM contexts")
        self._costs = {GpuId(gpu): (driver, Bytes(cost)) for gpu, driver, cost in rows}

    def put(self, gpu: GpuId, driver: str, cost: Bytes) -> None:
        """Replaces the cost under another driver."""
        with self._db.transaction():
            self._db.execute("DELETE FROM contexts WHERE gpu = ?", gpu)
            self._db.execute("INSERT INTO contexts VALUES (?, ?, ?, NULL)", gpu, driver, cost)
            self._db.stamp("contexts", "gpu = ?", gpu)
        self._costs[gpu] = (driver, cost)

    def get(self, gpu: GpuId, driver: str) -> Bytes | None:
        """Bytes, as measured under this driver; None if it was not."""
        measured_under, cost = self._costs.get(gpu, ("", Bytes(0)))
        return cost if measured_under == driver else None

    def all(self) -> dict[GpuId, Bytes]:
        """Bytes by GPU, under whichever driver they were measured last."""
        return {gpu: cost for gpu, (_, cost) in self._costs.items()}
