# SPDX-License-Identifier: Apache-2.0
"""Processes as people want to know them."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpushare.hardware.linux.residents import Residents
from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.ids import GpuId
from gpushare.model.units import Bytes
from support.daemon import until


def gpu(*pids: int, simulated: bool = True) -> Gpu:
    return Gpu(
        uuid=GpuId("GPU-0"),
        index=0,
        name="x",
        memory_total=Bytes(1),
        processes=tuple(GpuProcess(pid=pid) for pid in pids),
        simulated=simulated,
    )


def test_a_process_is_described():
    me = Residents().find(os.getpid())
    assert (me.process.pid, me.parent, me.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert me.name == Path("/proc/self/comm").read_text().strip()
    assert not me.defunct
    assert abs((datetime.now(UTC) - me.since).total_seconds()) < 7200


def test_a_defunct_process_is_found_and_called_that():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = Residents().find(child.pid)
        assert found.defunct
        assert found.parent == os.getpid()
    assert Residents().find(child.pid) is None


def test_who_is_on_a_gpu_and_who_is_no_more():
    with subprocess.Popen(["sleep", "60"]) as child:
        until(lambda: Residents().find(child.pid).name == "sleep", "the child to be in its program")
        found = Residents().on(gpu(child.pid, 2**22 + 1))
        child.kill()
    assert [who and who.name for _, who in found] == ["sleep", None]


def test_in_another_namespace_the_drivers_numbers_mean_no_process(tmp_path):
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/pid").symlink_to("pid:[4026532000]")
    assert Residents(tmp_path).on(gpu(1, simulated=False)) == []


def test_what_a_process_was_started_with():
    with subprocess.Popen(["sleep", "60"], env={"MARK": "a=b"}) as child:
        until(lambda: Residents().variable(child.pid, "MARK") == "a=b", "its environment")
        assert Residents().variable(child.pid, "OTHER") == ""
        child.kill()
    assert Residents().variable(child.pid, "MARK") == ""


def test_mps_daemons_are_found_wherever_they_are(machine, tmp_path):
    env = {
        "CUDA_MPS_PIPE_DIRECTORY": str(tmp_path / "pipe"),
        "CUDA_MPS_LOG_DIRECTORY": str(tmp_path / "log"),
    }
    (tmp_path / "pipe").mkdir()
    daemon = machine.start("nvidia-cuda-mps-control", "-f", env=env)
    try:
        found = until(
            lambda: [one for one in Residents().mps() if one.pipe == tmp_path / "pipe"],
            "the daemon",
        )
        assert [(one.resident.process.pid, one.server) for one in found] == [(daemon.pid, False)]
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.communicate()


@pytest.mark.parametrize("text", ["", "1 (x) S", "garbage"])
def test_a_process_that_cannot_be_read_is_none(tmp_path, text):
    folder = tmp_path / "proc/9"
    folder.mkdir(parents=True)
    (folder / "stat").write_text(text)
    (folder / "status").write_text("Uid:\t1\t1\t1\t1\n")
    assert Residents(tmp_path).find(9) is None
