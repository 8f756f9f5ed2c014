# SPDX-License-Identifier: Apache-2.0
"""Programs in our shares, as tools that know nothing of gpushare show them."""

import json
import sys

import pytest

from support.daemon import Daemon
from support.program import training

pytestmark = pytest.mark.contract

NVITOP = """
import json, nvitop
(device,) = nvitop.Device.all()
print(json.dumps({p.pid: p.gpu_memory() for p in device.processes().values()}))
"""


def test_the_programs_of_two_shares_are_shown_with_their_memory(daemon: Daemon):
    with (
        training(daemon, "-m", "4GiB", memory="2GiB") as one,
        training(daemon, "-m", "6GiB", memory="3GiB") as other,
    ):
        gpustat = daemon.machine.run(sys.executable, "-m", "gpustat", "--json")
        nvitop = daemon.machine.python(NVITOP)

    (gpu,) = json.loads(gpustat.stdout)["gpus"]
    shown = {process["pid"]: process["gpu_memory_usage"] for process in gpu["processes"]}
    assert 2048 <= shown[one.pid] <= 4096
    assert 3072 <= shown[other.pid] <= 6144
    assert json.loads(nvitop.stdout)[str(one.pid)] >> 20 == shown[one.pid]
