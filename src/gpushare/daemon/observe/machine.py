# SPDX-License-Identifier: Apache-2.0
"""The newest look at the machine: its GPUs, their links, and what works on them."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId
from gpushare.model.operations.cordon import NODE, Cordon
from gpushare.model.units import Bytes
from gpushare.store import Store


class ObservedMachine:
    """`latest` is what `refresh` has seen; empty before the first time. `generation` grows when
    that changes."""

    def __init__(self, store: Store, ports: HostPorts) -> None:
        self._costs, self._ports, self._cordons = store.contexts, ports, store.cordons
        self.latest = Machine()
        self.generation = 0
        self._measured = set[tuple[GpuId, str]]()

    async def refresh(self) -> None:
        """Look at the machine again; raises HardwareError."""
        await self._see()
        if await self._measure_contexts():
            await self._see()

    async def _see(self) -> None:
        self._put(await self._look())

    def _put(self, machine: Machine) -> None:
        # What is equal stays the same value: then whatever was made from it is still right.
        if machine != self.latest:
            self.latest = machine
            self.generation += 1

    async def _look(self) -> Machine:
        machine = await asyncio.to_thread(self._ports.machine, self._costs.all())
        return self._with_cordons(replace(machine, context=_by_model(machine)))

    def put_cordons(self) -> None:
        """Make `latest` agree with the cordons that are stored now."""
        self._put(self._with_cordons(self.latest))

    def _with_cordons(self, machine: Machine) -> Machine:
        cordons = [stored.cordon for stored in self._cordons.all()]
        cordons.sort(key=lambda cordon: (cordon.automatic, cordon.target != NODE, cordon.at))
        gpus = (replace(gpu, cordons=_of(gpu, cordons)) for gpu in machine.gpus)
        return replace(machine, gpus=tuple(gpus))

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


def _of(gpu: Gpu, cordons: Sequence[Cordon]) -> tuple[Cordon, ...]:
    """Those that hold shares off the GPU; an instance has those of the GPU that it is a part of."""
    targets = {NODE, gpu.uuid, gpu.parent}
    return tuple(cordon for cordon in cordons if cordon.target in targets)


def _by_model(machine: Machine) -> dict[GpuId, Bytes]:
    """What a context costs on each GPU; where that could not be measured, as on one of its model.

    A GPU that is full, or has a program alone, admits no context to measure.
    """
    measured = [(gpu, cost) for gpu in machine.gpus if (cost := machine.context.get(gpu.uuid))]
    models = {gpu.name: cost for gpu, cost in measured}
    return {gpu.uuid: models[gpu.name] for gpu in machine.gpus if gpu.name in models} | {
        gpu.uuid: cost for gpu, cost in measured
    }
