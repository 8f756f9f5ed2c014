# SPDX-License-Identifier: Apache-2.0
"""Which processes used a GPU recently, asked of NVML."""

import json
import subprocess
import sys
from typing import Any

import pytest

from support.daemon import until
from support.machine import Machine
from support.program import TRAIN

ASK = """
import json, sys
from datetime import UTC, datetime, timedelta
from gpushare.hardware.nvidia.activity import NvmlActivity
from gpushare.hardware.nvidia.gpus import NvmlGpus
from gpushare.hardware.nvidia.nvml import Nvml
nvml = Nvml()
since = datetime.now(UTC) - timedelta(seconds=10)
found = [NvmlActivity(nvml).busy(gpu.uuid, since) for gpu in NvmlGpus(nvml).gpus()]
print(json.dumps([None if pids is None else sorted(pids) for pids in found]))
"""


def busy(machine: Machine) -> Any:
    done = machine.python(ASK)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_process_uses_an_empty_gpu(machine: Machine) -> None:
    assert busy(machine) == [[]]


def test_a_program_that_computes_is_named(machine: Machine) -> None:
    words = [sys.executable, TRAIN, "--memory", "1GiB", "--steps", "0"]
    program = machine.start(*words, stdin=subprocess.PIPE)
    try:
        until(lambda: busy(machine) == [[program.pid]], "its work to be seen")
    finally:
        program.communicate("")


@pytest.mark.parametrize("machine", ["a100-mig"], indirect=True)
def test_what_the_driver_does_not_tell_is_not_known(machine: Machine) -> None:
    assert None in busy(machine), "NVML samples no MIG instances"


def test_a_gpu_that_is_not_there_is_not_known(machine: Machine) -> None:
    done = machine.python(ASK.replace("gpu.uuid", '"GPU-none"'))
    assert json.loads(done.stdout) == [None], done.stderr
