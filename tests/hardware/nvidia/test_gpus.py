# SPDX-License-Identifier: Apache-2.0
"""NVML asked for real: on simulated machines that can be broken."""

import json
from typing import Any

import pytest

from support.machine import Machine, clean_environment

OPEN = """
import json, msgspec
from gpushare.hardware.nvidia.gpus import NvmlGpus
from gpushare.hardware.nvidia.memory_limits import NvmlMemoryLimits
from gpushare.hardware.nvidia.nvml import Nvml
from gpushare.model.errors import GpushareError
from gpushare.model.gpu import ComputeMode
nvml = Nvml()
gpus = NvmlGpus(nvml)
def show(value):
    print(json.dumps(msgspec.to_builtins(value)))
"""


def ask(machine: Machine, source: str) -> Any:
    done = machine.python(OPEN + source)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask_error(machine: Machine, expression: str) -> str:
    source = f"\ntry:\n    {expression}\nexcept GpushareError as error:\n    show(error.code)\n"
    return ask(machine, source)


def test_a_gpu_is_described(machine: Machine) -> None:
    (gpu,) = ask(machine, "show(gpus.gpus())")
    assert gpu["name"] == "NVIDIA H200"
    assert gpu["sm_count"] == 132
    assert gpu["compute_capability"] == [9, 0]
    assert gpu["memory_total"] > gpu["memory_reserved"] > 0
    assert gpu["driver"] == "580.159.03"
    assert gpu["simulated"] is True
    assert gpu["pci"] == "0000:19:00.0"


@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_links_are_found_for_every_pair(machine: Machine) -> None:
    links = ask(machine, "show(gpus.links(gpus.gpus()))")
    assert len(links) == 8
    assert all(set(ends.values()) == {"NV18"} and len(ends) == 7 for ends in links.values())


@pytest.mark.parametrize("machine", ["a100-mig"], indirect=True)
def test_mig_instances_are_gpus_with_a_parent(machine: Machine) -> None:
    found = ask(machine, "show(gpus.gpus())")
    instances = [gpu for gpu in found if gpu["parent"]]
    parents = {gpu["uuid"]: gpu for gpu in found if not gpu["parent"]}
    assert instances
    assert len({gpu["index"] for gpu in found}) == len(found), "an index names one GPU"
    for gpu in instances:
        assert gpu["uuid"].startswith("MIG-")
        assert parents[gpu["parent"]]["mig_enabled"]
        assert 0 < gpu["memory_total"] < parents[gpu["parent"]]["memory_total"]
        assert 0 < gpu["sm_count"] < 108


def test_the_compute_mode_is_set_and_read(machine: Machine) -> None:
    source = """
uuid = gpus.gpus()[0].uuid
gpus.set_compute_mode(uuid, ComputeMode.EXCLUSIVE_PROCESS)
show([gpus.compute_mode(uuid), gpus.gpus()[0].compute_mode])
"""
    if machine.python("import os, sys; sys.exit(os.geteuid())").returncode:
        pytest.skip("only root may set the compute mode")
    assert ask(machine, source) == ["exclusive-process"] * 2


def test_no_such_gpu(machine: Machine) -> None:
    assert ask_error(machine, "gpus.compute_mode('GPU-0')") == "GS1202"


def test_no_driver(machine: Machine) -> None:
    env = clean_environment()
    assert ask_error(Machine("none", env), "gpus.gpus()") == "GS1501"


def test_a_simulated_library_without_a_machine_is_no_driver(machine: Machine) -> None:
    env = {**machine.environment}
    del env["GPUSHARE_SIM_MACHINE"]
    assert ask_error(Machine("none", env), "gpus.gpus()") == "GS1501"


def test_a_driver_that_does_not_match_its_library(machine: Machine) -> None:
    machine.fault("driver_mismatch=1")
    assert ask_error(machine, "gpus.gpus()") == "GS1502"


def test_a_driver_that_comes_back_is_found(machine: Machine) -> None:
    source = f"""
import subprocess
def fault(*words):
    subprocess.run(["gpushare-sim-machine", "fault", {str(machine.image)!r}, *words], check=True)
fault("driver_mismatch=1")
try:
    gpus.gpus()
except GpushareError:
    fault("clear")
show(len(gpus.gpus()))
"""
    assert ask(machine, source) == 1


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_a_gpu_that_is_lost_stays_listed(machine: Machine) -> None:
    source = f"""
import subprocess
before = gpus.gpus()
tool = "gpushare-sim-machine"
subprocess.run([tool, "fault", {str(machine.image)!r}, "gpu=1", "lost=1"], check=True)
after = gpus.gpus()
links = gpus.links(after)
show([before[1].uuid == after[1].uuid, [g.health.lost for g in after], len(links)])
"""
    assert ask(machine, source) == [True, [False, True], 1]


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_a_gpu_lost_before_it_was_seen_does_not_hide_the_others(machine: Machine) -> None:
    machine.fault("gpu=0", "lost=1")
    assert [gpu["index"] for gpu in ask(machine, "show(gpus.gpus())")] == [1]


def test_a_driver_that_lists_no_processes_is_not_one_with_none(machine: Machine) -> None:
    deaf = """
get = nvml.get
nvml.get = lambda name, *a, **k: None if "RunningProcesses" in name else get(name, *a, **k)
"""
    show = "show([gpu.lists_processes for gpu in gpus.gpus()])"
    assert ask(machine, show) == [True]
    assert ask(machine, deaf + show) == [False]


def test_xids_and_ecc_are_health(machine: Machine) -> None:
    source = f"""
import subprocess
def fault(*words):
    subprocess.run(["gpushare-sim-machine", "fault", {str(machine.image)!r}, *words], check=True)
quiet = gpus.xids(0.01)
fault("gpu=0", "xid=79")
fault("gpu=0", "ecc=1")
found = gpus.xids(5)
show([quiet, [xid.code for xid in found][:1], gpus.gpus()[0].health])
"""
    quiet, codes, health = ask(machine, source)
    assert quiet == []
    assert codes == [79]
    assert 79 in health["xids"]
    assert health["ecc"] >= 1


def test_a_look_for_xids_does_not_wait_for_one_that_waits(machine: Machine) -> None:
    """The driver lets one thread at a time wait, and a pass of the daemon must not wait for it."""
    source = f"""
import subprocess, threading
heard = []
gpus.xids(0.01)
waits = threading.Thread(target=lambda: heard.extend(gpus.xids(60)))
waits.start()
looked = [gpus.xids(0.001) for _ in range(20)]
still = waits.is_alive()
subprocess.run(["gpushare-sim-machine", "fault", {str(machine.image)!r}, "gpu=0", "xid=79"])
waits.join()
show([still, looked, [xid.code for xid in heard]])
"""
    still, looked, heard = ask(machine, source)
    assert still
    assert looked == [[]] * 20
    assert heard == [79]


def test_memory_limits_need_a_newer_driver(machine: Machine) -> None:
    reason = ask(machine, "show(NvmlMemoryLimits(nvml, 0).limits_reason())")
    assert reason == "driver 580 has no memory limits per control group, 615 has"
