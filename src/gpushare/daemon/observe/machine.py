# SPDX-License-Identifier: Apache-2.0
"""The newest look at the machine: its GPUs, their links, and what works on them."""

import asyncio

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId
from gpushare.store import Store


class ObservedMachine:
    """`latest` is what `refresh` has seen; empty before the first time."""

    def __init__(self, store: Store, ports: HostPorts) -> None:
        self._costs, self._ports = store.contexts, ports
        self.latest = Machine()
        self._measured = set[tuple[GpuId, str]]()

    async def refresh(self) -> None:
        """Look at the machine again; raises HardwareError."""
        self.latest = await self._look()
        if await self._measure_contexts():
            self.latest = await self._look()

    async def _look(self) -> Machine:
        return await asyncio.to_thread(self._ports.machine, self._costs.all())

    async def _measure_contexts(self) -> bool:
        """Measured before the first share, because regions charge contexts; once per driver."""
        present = {(gpu.uuid, gpu.driver) for gpu in self.latest.gpus if not gpu.health.lost}
        new = present - self._measured
        # A GPU where the measurement fails is not measured again in each pass.
        self._measured |= new
        if all(self._costs.get(*key) is not None for key in new):
            return False
        costs = await asyncio.to_thread(self._ports.probe.contexts)
        for gpu, (driver, cost) in costs.items():
            self._costs.put(gpu, driver, cost)
        return bool(costs)
