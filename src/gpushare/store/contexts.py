# SPDX-License-Identifier: Apache-2.0
"""What one CUDA context costs on a GPU under a driver, as measured."""

from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes

from .database import Database


class Contexts:
    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, gpu: GpuId, driver: str, cost: Bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO contexts VALUES (?, ?, ?)", gpu, driver, cost)

    def get(self, gpu: GpuId, driver: str) -> Bytes | None:
        rows = self._db.rows("SELECT bytes FROM contexts WHERE gpu = ? AND driver = ?", gpu, driver)
        return Bytes(rows[0][0]) if rows else None
