# SPDX-License-Identifier: Apache-2.0
"""What one CUDA context costs on a GPU under a driver, as measured."""

from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

from .database import Database


class Contexts:
    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, gpu: GpuId, driver: str, cost: Bytes) -> None:
        """Another driver's cost of the same GPU is forgotten."""
        with self._db.transaction():
            self._db.execute("DELETE FROM contexts WHERE gpu = ?", gpu)
            self._db.execute("INSERT INTO contexts VALUES (?, ?, ?)", gpu, driver, cost)

    def all(self) -> dict[GpuId, Bytes]:
        rows = self._db.rows("SELECT gpu, bytes FROM contexts")
        return {GpuId(gpu): Bytes(cost) for gpu, cost in rows}
