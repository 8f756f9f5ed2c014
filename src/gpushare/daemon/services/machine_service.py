# SPDX-License-Identifier: Apache-2.0
"""What callers see of the machine: its GPUs and its driver."""

import asyncio
import os
from collections.abc import Callable, Sequence

from gpushare.daemon.access.visibility import VisibilityFilter
from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.lifetime import DaemonLifetime
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.daemon.present.views import gpu_view
from gpushare.model.errors import HardwareError
from gpushare.model.share import Caller
from gpushare.model.version import __version__
from gpushare.model.view import GpuView, VersionView
from gpushare.store import Store


class DaemonMachine:
    def __init__(
        self,
        store: Store,
        ports: HostPorts,
        machine: ObservedMachine,
        visibility: VisibilityFilter,
        *,
        lifetime: DaemonLifetime,
        notices: Callable[[], tuple[str, ...]],
    ) -> None:
        self._store, self._ports = store, ports
        self._machine, self._visibility = machine, visibility
        self._lifetime, self._notices = lifetime, notices

    async def gpus(self, caller: Caller) -> Sequence[GpuView]:
        """Looks at the machine again; raises HardwareError. Processes of others are left out."""
        await self._machine.refresh()
        machine = self._machine.latest
        holding = [share for share in self._store.shares.living() if share.state.holds]
        gpus = [gpu.uuid for gpu in machine.gpus]
        trouble = await asyncio.to_thread(self._ports.mechanisms.trouble, gpus)
        views = (gpu_view(gpu, machine, holding, trouble.get(gpu.uuid, "")) for gpu in machine.gpus)
        return [self._visibility.gpu(view, caller) for view in views]

    async def version(self, *, operator: bool = False) -> VersionView:
        """`operator`: with what was found at start, which names shares of all users."""
        return VersionView(
            version=__version__,
            driver=await self.driver(),
            pid=os.getpid(),
            lifetime=self._lifetime.now,
            notices=self._notices() if operator else (),
        )

    async def driver(self) -> str:
        """Empty on a machine without a driver."""
        try:
            return (await asyncio.to_thread(self._ports.gpus.driver)).version
        except HardwareError:
            return ""
