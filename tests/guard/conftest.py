# SPDX-License-Identifier: Apache-2.0
"""Programs under the guard on a simulated machine.

guarded(limit)   a Share of one GPU: `machine`, `region`, and run(...) of a program inside it
native_test      native_test("paths_test"): the path of a built native test program
"""

import dataclasses
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGpu, RegionGrant, library_path, native_root
from gpushare.model.ids import GpuId
from gpushare.model.units import MIB, Bytes
from support import native
from support.machine import Machine

CONTEXT = Bytes(100 * MIB)
MEMORY = """
import pynvml
pynvml.nvmlInit()
pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
"""


@dataclasses.dataclass(frozen=True)
class Share:
    machine: Machine
    region: Region

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(library_path()), "GPUSHARE_REGION": str(self.region.path)}

    def run(
        self, *command: str | Path, env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        return self.machine.run(*command, env={**self.environment, **env})

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        return self.machine.start(*command, env=self.environment)

    def python(self, source: str, env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        return self.machine.python(source, env={**self.environment, **env})

    def sweep(self) -> None:
        """A program that asks for the share's memory, which frees what ended programs held."""
        asked = self.python(MEMORY)
        assert asked.returncode == 0, asked.stderr

    @property
    def gpu(self) -> RegionGpu:
        return self.region.snapshot().gpus[0]


def _uuid(machine: Machine, index: int) -> GpuId:
    probe = native_root() / "probe" / "gpushare-probe"
    seen = machine.run(probe, "--context-only", "--no-escapes")
    return GpuId(json.loads(seen.stdout)["devices"][index]["uuid"])


@pytest.fixture
def guarded(machine: Machine, tmp_path: Path) -> Callable[..., Share]:
    """A share of so many bytes next to one context, on one GPU of the machine."""

    def make(limit: int, *, gpu: int = 0, context: int = CONTEXT) -> Share:
        uuid, room = _uuid(machine, gpu), Bytes(limit + context)
        grant = RegionGrant(uuid=uuid, limit=room, context=Bytes(context))
        return Share(machine, Region.create(tmp_path / "region", [grant]))

    return make


@pytest.fixture
def native_test() -> Callable[[str], Path]:
    return native.program
